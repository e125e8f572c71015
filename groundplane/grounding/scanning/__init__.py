"""The parts of the scanner: signs in a stream of text, phrases and places, numbers to pixels."""
