"""Who may call the gateway, how often, and from which web pages. No I/O.

The application uses :class:`~dashscope_oss.gateway.security.access.AccessControl` and the checks
of ``origin_check``; the configuration file is built from the tables in ``config``.
"""
