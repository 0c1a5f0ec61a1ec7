"""Files of rows: read and written row by row, in a memory that does not grow with them.

- :mod:`.interface`: what all formats have in common.
- :mod:`.formats`: which format a file has, by its ending.
- :mod:`.jsonl`, :mod:`.csv_table`, :mod:`.parquet`: the formats.
- :mod:`.output`: the files that a run writes.
- :mod:`.row_log`: outcomes of rows, in a file that several machines can see.
- :mod:`.replace`: a file that has its name only once it is whole.
"""
