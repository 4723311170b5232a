"""The contract as data: ``FORMAT.md``, and one frozen file per version of a kind."""
