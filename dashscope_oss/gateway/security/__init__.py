"""Who may call the gateway, how often, and from which web pages. No I/O.

``authentication`` asks for keys, ``usage_limits`` says how often and how much, ``origin_check``
looks at calls of web pages; the application uses these three. The configuration file is built from
the tables in ``config``; ``api_keys`` makes keys, ``rate_limiter`` counts.
"""
