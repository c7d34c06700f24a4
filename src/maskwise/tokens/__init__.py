"""What text and DNA share: models of sequences of symbols."""
