"""Speech recognition while the speaker speaks: sound in, committed words and a volatile tail out."""
