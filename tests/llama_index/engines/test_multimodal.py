"""LlamaIndex's query and chat engines over documents with pictures, and a model that sees."""

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.program import MultiModalLLMCompletionProgram
from llama_index.core.query_engine import RetrieverQueryEngine, SimpleMultiModalQueryEngine
from llama_index.core.schema import ImageNode, NodeWithScore, QueryBundle, TextNode
from pydantic import BaseModel

from dashscope_oss.gateway import Answer
from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.messages import ImagePart
from tests.files import JPEG, PNG, base64_of, data_url

SEES = "qwen3.6-27b"
PICTURES = [data_url("image/png", PNG), data_url("image/jpeg", JPEG)]


class Documents(BaseRetriever):
    """Finds a text and two pictures, whatever is asked."""

    def __init__(self, path):
        path.write_bytes(JPEG)
        self._nodes = [
            TextNode(text="The cat is called Mao."),
            ImageNode(image=base64_of(PNG)),
            ImageNode(image_path=str(path)),
        ]
        super().__init__()

    def _retrieve(self, _query: QueryBundle):
        return [NodeWithScore(node=node, score=1.0) for node in self._nodes]


@pytest.fixture
def documents(tmp_path):
    return Documents(tmp_path / "cat.jpg")


def sees(request: EngineRequest) -> Answer:
    """The scripted model's answer: how many pictures it was shown, and the text."""
    parts = [part for message in request.messages for part in message.all_parts]
    pictures = [part.source for part in parts if isinstance(part, ImagePart)]
    assert pictures == PICTURES
    assert "Mao" in "".join(request.texts)
    return Answer(f"Mao, in {len(pictures)} pictures")


ANSWER = "Mao, in 2 pictures"


@pytest.mark.parametrize("streams", [False, True])
def test_a_query_engine_shows_the_pictures_that_it_finds(make, documents, streams):
    llm = make(SEES, sees)
    engine = RetrieverQueryEngine.from_args(documents, llm=llm, multimodal=True, streaming=streams)
    assert str(engine.query("Who is it?")) == ANSWER


def test_a_query_engine_does_so_without_blocking(make, documents, run):
    llm = make(SEES, sees)
    engine = RetrieverQueryEngine.from_args(documents, llm=llm, multimodal=True)

    assert str(run(llm, engine.aquery("Who is it?"))) == ANSWER


def test_a_chat_engine_shows_the_pictures_that_it_finds(make, documents, memory):
    llm = make(SEES, sees)
    # Younger than llama-index-core 0.13.0.
    module = pytest.importorskip("llama_index.core.chat_engine.multi_modal_context")
    engine = module.MultiModalContextChatEngine.from_defaults(
        documents, multi_modal_llm=llm, memory=memory
    )
    assert str(engine.chat("Who is it?")) == ANSWER
    assert "".join(engine.stream_chat("And now?").response_gen) == ANSWER


@pytest.mark.filterwarnings("ignore:Call to deprecated class")  # since llama-index-core 0.14.23
def test_the_query_engine_for_an_index_of_pictures_shows_them(make, documents, run):
    llm = make(SEES, sees)
    engine = SimpleMultiModalQueryEngine(documents, multi_modal_llm=llm)
    assert str(engine.query("Who is it?")) == ANSWER
    assert str(run(llm, engine.aquery("Who is it?"))) == ANSWER


class Cat(BaseModel):
    name: str


def test_a_program_reads_an_object_from_pictures(make):
    program = MultiModalLLMCompletionProgram.from_defaults(
        output_cls=Cat,
        prompt_template_str="{question}",
        multi_modal_llm=make(SEES, lambda _: Answer('{"name": "Mao"}')),
        image_documents=[ImageNode(image=base64_of(PNG))],
    )
    assert program(question="Who is it?") == Cat(name="Mao")
    assert make.body["input"]["messages"][0]["content"][0] == {"image": PICTURES[0]}
