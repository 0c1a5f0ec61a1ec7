"""A Parquet file answered by many machines: in blocks, each of which is finished by itself.

- :mod:`.blocks`: what a worker does with a block; knows no Ray.
- :mod:`.block_actor`: the same worker as Ray Data calls it.
- :mod:`.folder`: the folder beside the output in which a run keeps its blocks.
- :mod:`.ray_job`: the job on a Ray cluster. Needs the extra ``ray``.
"""
