"""What the theorems say, a subpackage per subject: declaration, formulas, measurement, figure."""
