"""What is said from whatever part of a sample is there: classes, numbers, what to measure next."""
