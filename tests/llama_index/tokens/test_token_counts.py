"""How text is counted for LlamaIndex: by estimate, or by a tokenizer of the user's."""

import pytest
from llama_index.core import Settings
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.utilities.token_counting import TokenCounter

from dashscope_oss import (
    ConfigurationError,
)
from dashscope_oss.gateway import Answer
from dashscope_oss.tokens import estimates
from llama_index_dashscope_oss import DashScopeOSS, TokenEstimator
from tests.llama_index import llama2_tokenizer
from tests.llama_index.examples import LOCAL, PROMPT_ONLY, QUESTIONS, TEXTS

# 116 characters, 161 tokens to Llama 2, counted once with its whole vocabulary.
PARAGRAPH = (
    "西湖位于浙江省杭州市西湖区龙井，是中国一流国家重点风景名胜区和中国十大风景名胜之一。"
    "西湖三面环山，面积约六平方公里，湖中被孤山、白堤、苏堤、杨公堤分隔，"
    "按面积大小分别为外西湖、西里湖、北里湖、小南湖及岳湖五片水面，苏堤白堤越过湖面。"
)


# 116 characters of it are 147; LlamaIndex's default believes fewer of both.
SAMPLE = "通义千问是一个大规模语言模型，它可以回答问题、创作文字，还能表达观点、撰写代码。" * 3


@pytest.mark.parametrize(("text", "real"), [(PARAGRAPH, 161), (SAMPLE[:116], 147)])
@pytest.mark.parametrize("model", ["llama2-7b-chat-v2", PROMPT_ONLY])
def test_chinese_is_not_counted_short_for_the_llama_2_family(using_tokenizer, model, text, real):
    """116 Chinese characters are 161 tokens, LlamaIndex believes fewer."""
    assert len(text) == 116
    assert len(Settings.tokenizer(text)) < real
    llm = DashScopeOSS(model=model, base_url=LOCAL)
    using_tokenizer(llm)
    assert real <= len(llm.tokenizer(text)) <= real * 1.05
    assert len(Settings.tokenizer(text)) >= real
    splitter = SentenceSplitter(chunk_size=200, chunk_overlap=0)
    chunks = splitter.split_text(text * 30)
    assert max(estimates.estimate(chunk, "llama2") for chunk in chunks) <= 200
    assert TokenCounter().get_string_tokens(text) >= real


@pytest.mark.parametrize(
    ("text", "real"), [(TEXTS["en"], 21), (TEXTS["zh"], 63), (SAMPLE[:116], 147)]
)
def test_the_real_tokenizer_of_these_tests(text, real):
    """Its counts are those that the whole vocabulary gives, taken once."""
    assert llama2_tokenizer.count(text) == real


@pytest.mark.parametrize("text", [*TEXTS.values(), *QUESTIONS.values(), SAMPLE, "<human>:1\n"])
def test_no_text_is_counted_short_for_the_llama_2_family(text):
    """Against the real tokenizer, and not by more than a third too long."""
    counted = len(DashScopeOSS(model="llama2-7b-chat-v2", base_url=LOCAL).tokenizer(text * 9))
    assert llama2_tokenizer.count(text * 9) <= counted <= llama2_tokenizer.count(text * 9) * 4 / 3


def test_rare_characters_are_counted_by_their_bytes():
    """Llama 2 has no token for them, and one estimate fits no such text."""
    llm = DashScopeOSS(model=PROMPT_ONLY, base_url=LOCAL)
    assert len(llm.tokenizer("魑魅魍魉")) == 1 + 12
    assert len(llm.tokenizer("人大中山")) == 1 + 4


def test_only_these_models_bring_a_tokenizer(using_tokenizer):
    with pytest.raises(ConfigurationError, match="MockLLM"):
        using_tokenizer(MockLLM())


class Tokenizer:
    """As those of transformers are: called, it gives no list of tokens."""

    def __call__(self, text: str) -> dict:
        return {"input_ids": self.encode(text), "attention_mask": []}

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]


@pytest.mark.parametrize("tokenizer", [list, Tokenizer()], ids=["function", "object"])
def test_a_tokenizer_of_the_users_own_counts_instead(using_tokenizer, tokenizer):
    """For LlamaIndex, for the memory, and in copies; a copy can have another one."""
    llm = DashScopeOSS(model=PROMPT_ONLY, base_url=LOCAL, tokenizer=tokenizer)
    using_tokenizer(llm)
    assert len(Settings.tokenizer(SAMPLE)) == len(llm.tokenizer(SAMPLE)) == len(SAMPLE)
    assert len(llm.model_copy().tokenizer(SAMPLE)) == len(SAMPLE)
    assert len(llm.model_copy(update={"tokenizer": str.split}).tokenizer("a b")) == 2
    memory = llm.chat_memory()
    memory.put(ChatMessage("x" * (memory.token_limit - 10)))
    memory.put(ChatMessage("y" * 20))
    assert [message.content[0] for message in memory.get()] == ["y"]


def test_a_tokenizer_stands_in_no_dump():
    """A function cannot be written as JSON; the object that is made of the dump estimates."""
    llm = DashScopeOSS(model=PROMPT_ONLY, base_url=LOCAL, tokenizer=str.split)
    again = DashScopeOSS.from_json(llm.to_json())
    assert isinstance(again.tokenizer, TokenEstimator)
    assert DashScopeOSS(model=PROMPT_ONLY, base_url=LOCAL, tokenizer=None).tokenizer == (
        TokenEstimator("llama2")
    )


def test_what_is_no_tokenizer_is_refused():
    with pytest.raises(ValueError, match="callable"):
        DashScopeOSS(model=PROMPT_ONLY, base_url=LOCAL, tokenizer="llama2")


# Five times each; the figures are those of Llama 2's own tokenizer, taken once.
SCRIPTS = {
    "Западное озеро находится в городе Ханчжоу.": 80,
    "تقع البحيرة الغربية في مدينة هانغتشو.": 166,
    "ทะเลสาบตะวันตกตั้งอยู่ในเมืองหางโจว": 186,
    "पश्चिमी झील हांग्जो शहर में स्थित है।": 196,
    "Η Δυτική Λίμνη βρίσκεται στην πόλη Χανγκτσόου.": 231,
    "Hồ Tây nằm ở thành phố Hàng Châu.": 130,
    "Der Westsee ist berühmt für seine Schönheit.": 60,
    "🎈🚀😀🎈🎈": 101,
}


def test_other_scripts_are_not_counted_short(subtests):
    """Nor as more than twice what they are."""
    for text, tokens in SCRIPTS.items():
        with subtests.test(text):
            assert tokens <= len(TokenEstimator("llama2")(text * 5)) <= tokens * 2


def test_chinese_is_estimated_where_no_vocabulary_is_known():
    """By a fifth too much."""
    text = "守塔人擦灯" * 40
    for family in ("qwen", "llama3", "baichuan", "other"):
        counted = len(TokenEstimator(family)(text + " keeps the lamp 🎈"))
        assert counted == pytest.approx(estimates.estimate(text, family) * 1.2 + 9, abs=2), family


def test_nothing_has_no_tokens():
    assert TokenEstimator("llama2")("") == []
    assert len(TokenEstimator("llama2")("守塔人")) == 1 + estimates.estimate("守塔人", "llama2")


def test_a_memory_counts_as_the_model_does():
    """A third of the input, the rest is for documents and question."""
    llm = DashScopeOSS(model=PROMPT_ONLY, base_url=LOCAL)
    memory = llm.chat_memory()
    assert memory.token_limit == (2048 - 512) // 3
    for _ in range(20):
        memory.put(ChatMessage(SAMPLE))
    kept = " ".join(message.content for message in memory.get())
    assert 0 < estimates.estimate(kept, "llama2") <= memory.token_limit


def test_a_memory_is_stored_under_its_own_name():
    """LlamaIndex's own would come back in its place."""
    memory = DashScopeOSS(model=PROMPT_ONLY, base_url=LOCAL).chat_memory()
    assert memory.to_dict()["class_name"] == "WindowMemory"


def test_a_long_answer_does_not_fill_the_memory(make):
    """After an answer longer than the memory the next turn has room."""
    script = Answer("很长的回答。" * 300), Answer("短。")
    llm = make(PROMPT_ONLY, *script, max_tokens=512)
    memory = llm.chat_memory()
    engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory)

    engine.chat("你好")
    assert memory.get() == []

    assert str(engine.chat("再见")) == "短。"
