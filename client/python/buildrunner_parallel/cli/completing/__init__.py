"""Shell completion: what could be typed next, for bash, zsh and fish.

A script (scripts/) hands over what was typed; shells.py reads it and answers in that shell's way. typed.py
says which option or argument is meant, kinds.py what its values are; candidates.py and ids.py name them.
Nothing here starts a coordinator or creates a file, and whatever goes wrong ends without a word.
"""
