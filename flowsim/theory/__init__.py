"""The theorems, one subpackage per subject: declaration, formulas, measurement and figure."""
