"""Texts: files, tokenizers, tasks, runs."""
