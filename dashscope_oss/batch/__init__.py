"""Many calls: any number of rows, asked over one client, on one machine or on a Ray cluster.

What users need can be imported from here:

- :func:`run`, which makes a call for each of any number of requests;
- :class:`Pace`, which spreads them over an account's limits, :class:`RateLimits`;
- :class:`Progress` and :class:`Summary`, the bar and the table;
- :func:`compare`, several models on the same prompts, with the answers side by side as a
  :class:`Comparison`.

``dashscope_oss.batch.ray`` is for Ray Data, and needs the extra ``ray``.

Inside, ``calls`` holds the calls under way, ``rows`` knows what a row means, ``files`` reads and
writes formats, and ``report`` shows how far a run is. ``jobs`` joins them for a file on one
machine, ``cluster`` on many, and ``dashscope-oss batch`` starts both. ``comparison`` sets models
side by side.
"""

from dashscope_oss.batch.calls.pace import Pace
from dashscope_oss.batch.calls.window import run
from dashscope_oss.batch.comparison.compare import compare
from dashscope_oss.batch.comparison.comparison import ComparedAnswer, Comparison
from dashscope_oss.batch.report.progress import Progress
from dashscope_oss.batch.report.summary import Summary
from dashscope_oss.batch.report.tally import Tally
from dashscope_oss.tokens.rate_limits import RateLimits

__all__ = [
    "ComparedAnswer",
    "Comparison",
    "Pace",
    "Progress",
    "RateLimits",
    "Summary",
    "Tally",
    "compare",
    "run",
]
