"""What OpenAI-compatible servers are known to send, from their sources of 2026.

Each transcript names the file in which the server writes it, or the report of a user.
"""

from tests.gateway.transcripts.llama_cpp import LLAMA_CPP
from tests.gateway.transcripts.ollama import OLLAMA
from tests.gateway.transcripts.reported import REPORTED
from tests.gateway.transcripts.sglang import SGLANG
from tests.gateway.transcripts.tgi import TGI
from tests.gateway.transcripts.vllm import VLLM

TRANSCRIPTS = {**VLLM, **SGLANG, **OLLAMA, **TGI, **LLAMA_CPP, **REPORTED}
