"""Tasks; each file of this folder is one, and exports `SPEC = Task(...)`."""
