"""What the gateway reports about itself: access log, metrics, health checks, the status page.

- :mod:`.access_log`: a line of JSON for each request.
- :mod:`.metrics`: figures in Prometheus's format.
- :mod:`.status`, :mod:`.status_page`: how the gateway is, for health checks and for people.

Nothing here holds a prompt, an answer or a key.
"""
