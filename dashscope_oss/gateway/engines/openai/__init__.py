"""One OpenAI-compatible server as an engine; other folders import ``engine`` and ``upstream``.

``upstream`` says where the server is and what its kind calls things. ``upstream_request`` writes
the body of a call, ``upstream_client`` sends it over ``connections``, ``response_body`` cuts the
answer into JSON objects, ``upstream_response`` reads these, ``upstream_error`` translates errors;
``upstream_status`` and ``health_check`` keep track of whether the server can be used. A new kind
of server is an entry of ``_DIALECTS`` in ``upstream``.
"""
