"""What a run tells its user: how far it is, and at the end what it did.

- :mod:`.tally`: ``Tally``, the counts.
- :mod:`.summary`: ``Summary``, the table at the end.
- :mod:`.displays`: a bar, lines where there is no terminal, a cell of a notebook.
- :mod:`.progress`: ``Progress``, which keeps a tally and shows it while a run goes on.
"""
