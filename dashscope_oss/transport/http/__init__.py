"""The HTTP underneath: httpx2's clients, their connections, and limits that hold for a whole call.

It knows httpx2 and neither DashScope's protocol nor models. Only the transport imports it, and the
gateway for its own upstream connections.
"""
