"""transformers loads the tokenizers, chat templates and generation settings that this crate wrote.

    cargo test -p regen-lm --test it -- --ignored chat::write_folders_for_transformers
    python load_back.py TARGET/tmp/saved_chat        # the last output stands in LOAD_BACK.txt
"""

import json
import pathlib
import sys

import transformers

HERE = pathlib.Path(__file__).parent
cases = json.loads((HERE / "expected.json").read_text())
lines = [f"transformers {transformers.__version__}"]
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ours = [case for case in cases if case["tokenizer"] == folder.name and case["template"] == "thinking"]
    ours = [case for case in ours if "raises" not in case]
    for case in ours:
        ask = dict(conversation=case["messages"], return_dict=False, **case["options"])
        assert tokenizer.apply_chat_template(tokenize=False, **ask) == case["rendered"]
        assert tokenizer.apply_chat_template(**ask) == case["ids"]
        assert tokenizer.apply_chat_template(sanitize_control_tokens=True, **ask) == case["sanitized"]
    settings = transformers.GenerationConfig.from_pretrained(folder).to_diff_dict()
    settings.pop("transformers_version")
    roles = {role: token for role, token in tokenizer.special_tokens_map.items() if role.endswith("_token")}
    lines.append(f"{folder.name}: {len(ours)} conversations as before, roles {roles}, settings {settings}")
(HERE / "LOAD_BACK.txt").write_text("\n".join(lines) + "\n")
print("\n".join(lines))
