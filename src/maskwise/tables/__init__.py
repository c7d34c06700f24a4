"""Tables: files, columns, imputation, runs."""
