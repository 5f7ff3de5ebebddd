"""The live view of sessions: `fold` (changes to model), `view` (model to drawing), `live` (the loop)."""
