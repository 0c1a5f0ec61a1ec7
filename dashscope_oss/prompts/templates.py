"""The prompt template of each family. A single turn equals the vendor page's prompt exactly."""

from __future__ import annotations

from collections.abc import Mapping

from dashscope_oss.prompts.prompt_template import PromptTemplate

ZIYA = PromptTemplate(
    name="ziya",
    user=("<human>:", "\n<bot>:"),
    answer=("", "</s>"),
    controls=r"<human>|<bot>|</?s>",
    ends=("</s>",),
    stop=("</s>", "<human>"),
    source="vendor page; Fengshenbang-LM finetune_ziya_llama.py",
)
BELLE = PromptTemplate(
    name="belle",
    # The vendor page writes no space after "Human:", the upstream model card does: the page wins.
    user=("Human:", "\n\nAssistant:"),
    controls=r"Human:|Assistant:|</?s>",
    ends=("</s>",),
    stop=("\n\nHuman:", "\nHuman:", "</s>"),
    source="vendor page; BELLE model card",
)
BILLA = PromptTemplate(
    name="billa",
    user=("Human: ", "\nAssistant: "),
    answer=("", "\n"),
    controls=r"Human:|Assistant:|</?s>",
    ends=("</s>",),
    stop=("\nHuman:", "</s>"),
    source="vendor page, HTTP sample; Neutralzz/BiLLa README (the last space is needed)",
)
PLAIN = PromptTemplate(
    name="plain",
    # A base model continues text. A conversation becomes its few-shot form: question and answer
    # on one line, which is the vendor page's own sample ("登鹳雀楼->王之涣\n夜雨寄北->").
    user=("", ""),
    answer=("", "\n"),
    source="vendor page; baichuan-inc/Baichuan-7B README",
)
BAICHUAN2 = PromptTemplate(
    name="baichuan2",
    user=("<reserved_106>", "<reserved_107>"),
    system=("", ""),
    controls=r"<reserved_\d+>|</?s>",
    ends=("</s>",),
    stop=("<reserved_106>", "</s>"),
    source="Baichuan2 generation_utils.build_chat_input",
)
LLAMA2 = PromptTemplate(
    name="llama2",
    user=("<s>[INST] ", " [/INST]"),
    answer=(" ", " </s>"),
    system=("<<SYS>>\n", "\n<</SYS>>\n\n"),
    system_inside=True,
    bos="<s>",
    controls=r"\[/?INST\]|<</?SYS>>|</?s>",
    trims=True,
    ends=("</s>",),
    stop=("</s>", "[INST]"),
    source="meta-llama/llama generation.py",
)
LLAMA3 = PromptTemplate(
    name="llama3",
    begin="<|begin_of_text|>",
    bos="<|begin_of_text|>",
    user=(
        "<|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    answer=("", "<|eot_id|>"),
    system=("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
    controls=r"<\|[a-z0-9_]+\|>",
    trims=True,
    ends=("<|eot_id|>", "<|end_of_text|>"),
    stop=("<|eot_id|>", "<|end_of_text|>"),
    source="meta-llama/llama3 tokenizer.py ChatFormat",
)

TEMPLATES: Mapping[str, PromptTemplate] = {
    template.name: template for template in (ZIYA, BELLE, BILLA, PLAIN, BAICHUAN2, LLAMA2, LLAMA3)
}
"""The templates by their names."""
