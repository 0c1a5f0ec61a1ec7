"""What the gateway reports about itself: access log, metrics, health checks, the status page.

Nothing here holds a prompt, an answer or a key.
"""
