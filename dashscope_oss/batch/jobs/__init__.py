"""A file of rows, answered into another file.

- :mod:`.job`: what is to be done, wherever it is done.
- :mod:`.local_job`: the job on one machine; that on many is in ``batch/cluster``.
- :mod:`.checkpoint`: keeps what was answered, so that a job that was stopped can go on.
"""
