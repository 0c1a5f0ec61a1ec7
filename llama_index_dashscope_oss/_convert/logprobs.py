"""Log probabilities of an answer's tokens in LlamaIndex's form."""

from __future__ import annotations

from llama_index.core.base.llms.types import LogProb

from dashscope_oss.messages import Json


def token_logprobs(logprobs: Json | None) -> list[list[LogProb]] | None:
    """Return for each token its likeliest alternatives, or itself if none were asked for.

    ``None`` if there are no log probabilities, or they have another form; ``raw`` holds them then.
    """
    tokens = (logprobs or {}).get("content")
    if not isinstance(tokens, list):
        return None
    try:
        return [
            [_to_logprob(alternative) for alternative in token.get("top_logprobs") or [token]]
            for token in tokens
        ]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _to_logprob(alternative: dict[str, object]) -> LogProb:
    token, logprob = alternative["token"], alternative["logprob"]
    stated = {"token": token, "logprob": logprob, "bytes": alternative.get("bytes") or []}
    return LogProb.model_validate(stated)
