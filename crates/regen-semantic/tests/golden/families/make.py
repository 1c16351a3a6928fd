"""Tiny random encoders of every family, as sentence-transformers saves them, and the vectors it computes with them.

Run in this folder: python make.py [family ...]
"""

import json
import os
import shutil
import sys

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig, BertModel, DistilBertConfig, DistilBertModel, Gemma3TextConfig, Gemma3TextModel, ModernBertConfig,
    ModernBertModel, MPNetConfig, MPNetModel, NomicBertConfig, NomicBertModel, PreTrainedTokenizerFast, Qwen3Config,
    Qwen3Model, RobertaConfig, RobertaModel, XLMRobertaConfig, XLMRobertaModel,
)

SEED = 20260923
LIMIT = 22

TEXTS = [
    "a red gel pen",
    "A Blue Notebook, ruled; 200 pages!",
    "",
    "   ",
    "x",
    "...!?",
    "  leading and trailing blanks  ",
    "stapler stapler stapler stapler stapler stapler stapler stapler stapler stapler stapler stapler stapler",
    "工作 notebook 紙",
    "pens \U0001f58a\ufe0f and caf\u00e9 paper",
    "desk organizer",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen",
    "fine point marker, set of 12",
    "line one\nline two\ttabbed",
    "<pad> <mask> [PAD] literal specials [SEP] </s> here",
]
CORPUS = [text for text in TEXTS if text.strip()] * 3


def wordpiece(special):
    tokenizer = Tokenizer(models.WordPiece(unk_token=special["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    order = [special["pad"], special["unk"], special["cls"], special["sep"], special["mask"]]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=170, special_tokens=order, show_progress=False))
    return finish(tokenizer, special)


def byte_level(special):
    tokenizer = Tokenizer(models.BPE(unk_token=special["unk"]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    order = [special["cls"], special["pad"], special["sep"], special["unk"], special["mask"]]
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=300, special_tokens=order, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return finish(tokenizer, special)


def unigram(special):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    order = [special["cls"], special["pad"], special["sep"], special["unk"], special["mask"]]
    tokenizer.train_from_iterator(CORPUS, trainers.UnigramTrainer(
        vocab_size=150, special_tokens=order, unk_token=special["unk"], show_progress=False))
    return finish(tokenizer, special)


def finish(tokenizer, special):
    cls, sep = special["cls"], special["sep"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}", pair=f"{cls} $A {sep} $B {sep}",
        special_tokens=[(cls, tokenizer.token_to_id(cls)), (sep, tokenizer.token_to_id(sep))])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=LIMIT, pad_token=special["pad"], unk_token=special["unk"],
        cls_token=cls, sep_token=sep, mask_token=special["mask"])


BRACKETS = dict(pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]")
ANGLES = dict(pad="<pad>", unk="<unk>", cls="<s>", sep="</s>", mask="<mask>")
SIZES = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
             max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def shake(module):
    """Random values everywhere, norms and biases too, so that a forgotten one is seen."""
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.normal_(0.0, 0.25)
            if "norm" in name.lower() and name.endswith("weight") and "gemma" not in type(module).__name__.lower():
                value.add_(1.0)


def make(name, model, tokenizer, tail, prompts=None, default_prompt=None, prompt=None):
    if sys.argv[1:] and name not in sys.argv[1:]:
        return
    torch.manual_seed(SEED)
    shake(model)
    shutil.rmtree(name, ignore_errors=True)
    shutil.rmtree("raw", ignore_errors=True)
    model.save_pretrained("raw")
    tokenizer.save_pretrained("raw")
    modules = [Transformer("raw")] + tail
    for module in tail:
        shake(module)
    encoder = SentenceTransformer(modules=modules, device="cpu", prompts=prompts, default_prompt_name=default_prompt)
    encoder.save(name, create_model_card=False)
    shutil.rmtree("raw")
    encoder = SentenceTransformer(name, device="cpu")
    vectors = encoder.encode(TEXTS, batch_size=4, prompt=prompt)
    with open(os.path.join(name, "expected.json"), "w") as file:
        json.dump({"prompt": prompt, "vectors": [[float(f"{x:.9g}") for x in row] for row in vectors.tolist()]}, file)
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(name) for f in fs)
    print(name, vectors.shape, encoder.max_seq_length, size)


def main():
    with open("texts.json", "w") as file:
        json.dump(TEXTS, file, indent=0)
    words = wordpiece(BRACKETS)
    make("bert", BertModel(BertConfig(vocab_size=len(words), **SIZES)), words,
         [Pooling(24, "mean"), Normalize()])
    make("bert_dense", BertModel(BertConfig(vocab_size=len(words), hidden_act="gelu_new", **SIZES)), words,
         [Pooling(24, ("cls", "max", "mean_sqrt_len_tokens")), Dense(72, 10), Dense(10, 6, bias=False,
          activation_function=torch.nn.Identity())])
    make("bert_prompt", BertModel(BertConfig(vocab_size=len(words), hidden_act="relu", **SIZES)), words,
         [Pooling(24, ("mean", "lasttoken", "weightedmean", "max", "cls"), include_prompt=False), Normalize()],
         prompts={"query": "one two: ", "passage": "three: "}, default_prompt="passage")
    pieces = byte_level(ANGLES)
    make("roberta", RobertaModel(RobertaConfig(vocab_size=len(pieces), type_vocab_size=1, pad_token_id=1, **SIZES)),
         pieces, [Pooling(24, "lasttoken")])
    units = unigram(ANGLES)
    make("xlm_roberta", XLMRobertaModel(XLMRobertaConfig(vocab_size=len(units), type_vocab_size=1, pad_token_id=1, **SIZES)),
         units, [Pooling(24, "cls"), Normalize()])
    make("distilbert", DistilBertModel(DistilBertConfig(vocab_size=len(words), dim=24, n_layers=2, n_heads=3, hidden_dim=40,
         max_position_embeddings=32, dropout=0.0, attention_dropout=0.0)), words, [Pooling(24, "weightedmean")])
    mpnet_words = wordpiece(dict(ANGLES, unk="[UNK]"))
    make("mpnet", MPNetModel(MPNetConfig(vocab_size=len(mpnet_words), **SIZES)), mpnet_words,
         [Pooling(24, "mean"), Normalize()])
    # Windows of two tokens on each side, so that the texts are longer than they are.
    make("modernbert", ModernBertModel(ModernBertConfig(
        vocab_size=len(words), hidden_size=24, num_hidden_layers=4, num_attention_heads=3, intermediate_size=20,
        max_position_embeddings=32, local_attention=4, pad_token_id=0, bos_token_id=None, eos_token_id=None,
        cls_token_id=2, sep_token_id=3)), words, [Pooling(24, "mean"), Normalize()])
    make("modernbert_biased", ModernBertModel(ModernBertConfig(
        vocab_size=len(words), hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
        max_position_embeddings=32, local_attention=6, global_attn_every_n_layers=2, norm_bias=True, attention_bias=True,
        mlp_bias=True, hidden_activation="gelu_pytorch_tanh", pad_token_id=0, bos_token_id=None, eos_token_id=None,
        cls_token_id=2, sep_token_id=3)), words, [Pooling(24, "cls")])
    make("nomic_bert", NomicBertModel(NomicBertConfig(
        vocab_size=len(words), hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
        max_position_embeddings=32)), words, [Pooling(24, "mean"), Normalize()])
    ending = byte_level(ANGLES)
    ending.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", ending.convert_tokens_to_ids("</s>"))])
    grouped = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
                   intermediate_size=20, max_position_embeddings=32, pad_token_id=1, bos_token_id=None, eos_token_id=None)
    make("qwen3", Qwen3Model(Qwen3Config(vocab_size=len(ending), **grouped)), ending, [Pooling(24, "lasttoken"), Normalize()],
         prompts={"query": "one two:"})
    make("gemma3", Gemma3TextModel(Gemma3TextConfig(
        vocab_size=len(pieces), sliding_window=6, use_bidirectional_attention=True, query_pre_attn_scalar=11,
        layer_types=["sliding_attention", "full_attention"], **grouped)), pieces,
        [Pooling(24, "mean"), Dense(24, 40, bias=False, activation_function=torch.nn.Identity()),
         Dense(40, 24, bias=False, activation_function=torch.nn.Identity()), Normalize()])
    make("gemma3_causal", Gemma3TextModel(Gemma3TextConfig(
        vocab_size=len(ending), sliding_window=4, query_pre_attn_scalar=8, layer_types=["sliding_attention", "full_attention"],
        **grouped)), ending, [Pooling(24, "lasttoken")])


main()
