"""What the theorems say: exact solutions and where they hold."""
