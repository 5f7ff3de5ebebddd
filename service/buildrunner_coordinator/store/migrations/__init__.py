"""The numbered steps that make a database, or bring an older one up to date.

`NNNN_what.sql` leads from schema NNNN - 1 to NNNN, in one transaction. A released step is never edited.
"""
