"""What cells and tables share: samples by columns, numbers and categories."""
