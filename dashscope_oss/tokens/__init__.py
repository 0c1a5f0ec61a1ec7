"""Tokens: counts without a tokenizer, what they cost, and an account's limits of them.

- :mod:`.estimates`: about how many tokens a text has, and a count that is never too high.
- :mod:`.input_length`: whether an input is too long for its model.
- :mod:`.llama2_vocabulary`: Chinese, Japanese and Korean counted exactly for Llama 2.
- :mod:`.rate_limits`: ``RateLimits``: when the next call may go out.
- :mod:`.usage_table`: ``UsageTable``: what models used and cost, in all of a program.
- :mod:`.prices`: what calls cost, where a dated source states the price.

A new family of tokenizers is a new row in ``estimates``, with the rates that were measured.
"""
