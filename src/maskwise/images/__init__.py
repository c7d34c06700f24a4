"""Images: files, augmentation, fine-tuning, runs."""
