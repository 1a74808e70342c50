"""From a scenario to the problem it poses: target, data, loss, layers and noise."""
