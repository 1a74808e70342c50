"""What pictures are drawn with: layout, axes, curves, line styles and words."""
