"""``python -m dashscope_oss``: the command, where its script is not on the path."""

import sys

from dashscope_oss.cli import main

sys.exit(main())
