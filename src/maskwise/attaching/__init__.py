"""Laws in other people's models: their mask ratio, and where they take them, their masks."""
