"""A tiny random BERT sentence encoder for each pooling, and what sentence-transformers makes of a few texts.

Run: python make.py   (versions in PROVENANCE.toml)
Writes model/ (a sentence-transformers folder, mean pooling and normalisation) and expected.json, which holds the
vectors for every pooling mode with normalisation off, and for the folder as it lies.
"""

import json
import shutil
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer, models
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

HERE = Path(__file__).parent
TEXTS = [
    "a red pen",
    "",
    "   stripped   ",
    "pen pen pen pen paper red blue",
    "Blue PAPER, red pen.",
    "unknown words everywhere",
    "a blue paper pen with red ink and a long tail of words that goes beyond the limit of the model by far",
    "日本 🙂 red",
]

torch.manual_seed(20261123)
words = "a red pen paper blue with ink and long tail of words that goes beyond the limit model by far . ,".split()
vocab = {t: i for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *[f"##{c}" for c in "abcdefg"]])}
tok = Tokenizer(WordPiece(vocab, unk_token="[UNK]"))
tok.normalizer = normalizers.BertNormalizer()
tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
tok.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
fast = PreTrainedTokenizerFast(tokenizer_object=tok, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
                               sep_token="[SEP]", mask_token="[MASK]", model_max_length=24)
config = BertConfig(vocab_size=len(vocab), hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
                    intermediate_size=40, max_position_embeddings=24, type_vocab_size=2, initializer_range=0.5)
bert = BertModel(config).eval()
for name, p in bert.named_parameters():
    if "LayerNorm" in name or name.endswith("bias"):
        p.data += 0.3 * torch.randn_like(p)

work = HERE / "work"
bert.save_pretrained(work)
fast.save_pretrained(work)
expected = {"texts": TEXTS, "pooling": {}}
for mode in ["cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]:
    transformer = models.Transformer(str(work), max_seq_length=20)
    model = SentenceTransformer(modules=[transformer, models.Pooling(24, pooling_mode=mode)], device="cpu")
    expected["pooling"][mode] = model.encode(TEXTS, batch_size=3).astype(float).round(8).tolist()
    if mode == "mean":
        full = SentenceTransformer(modules=[transformer, model[1], models.Normalize()], device="cpu")
        shutil.rmtree(HERE / "model", ignore_errors=True)
        full.save(str(HERE / "model"), create_model_card=False)
        expected["folder"] = full.encode(TEXTS, batch_size=3).astype(float).round(8).tolist()
shutil.rmtree(work)
for extra in ["README.md", "special_tokens_map.json"]:
    (HERE / "model" / extra).unlink(missing_ok=True)
(HERE / "expected.json").write_text(json.dumps(expected))
