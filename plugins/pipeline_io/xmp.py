"""The XMP packet that carries an image's `meta` in JPEG, TIFF and WebP files, and odd keys in PNG.

Other programs read the four standard fields (Dublin Core); all of `meta`, under any key, is one JSON text in a
property of our own. Source: ISO 16684-1 (XMP); RDF as in Adobe's XMP specification, part 1, section 7.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

NAMESPACE = "urn:pipeline-core:image:1"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_DC = "http://purl.org/dc/elements/1.1/"
_FIELDS = {"title": "Alt", "description": "Alt", "rights": "Alt", "creator": "Seq"}
_NAMES = {"rights": "copyright", "creator": "artist"}
_MAX_BYTES = 2**24


def write_packet(meta: Mapping[str, str]) -> bytes:
    """An XMP packet holding `meta`; nothing for an empty one."""
    if not meta:
        return b""
    fields = []
    for field, container in _FIELDS.items():
        text = _for_xml(meta.get(_NAMES.get(field, field), ""))
        if text:
            language = ' xml:lang="x-default"' if container == "Alt" else ""
            fields.append(
                f"<dc:{field}><rdf:{container}><rdf:li{language}>{text}</rdf:li></rdf:{container}></dc:{field}>"
            )
    import html

    whole = html.escape(json.dumps(dict(meta), ensure_ascii=True, sort_keys=True, separators=(",", ":")), quote=False)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">'
        f'<rdf:Description rdf:about="" xmlns:dc="{_DC}" xmlns:pipeline="{NAMESPACE}">'
        f"{''.join(fields)}<pipeline:meta>{whole}</pipeline:meta>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def read_packet(packet: bytes) -> dict[str, str]:
    """What `write_packet` wrote, or another program's standard fields. A packet that can't be read says nothing."""
    # A document type is where XML hides its bombs; XMP has none.
    if not packet or len(packet) > _MAX_BYTES or b"<!" in packet:
        return {}
    from xml.etree import ElementTree

    try:
        tree = ElementTree.fromstring(packet.strip(b"\0 \r\n\t"))
    except (ElementTree.ParseError, ValueError, LookupError):
        return {}
    found: dict[str, str] = {}
    for field in _FIELDS:
        texts = [item.text for item in tree.iterfind(f".//{{{_DC}}}{field}//{{{_RDF}}}li") if item.text]
        if texts:
            found[_NAMES.get(field, field)] = ", ".join(texts) if field == "creator" else texts[0]
    ours = tree.find(f".//{{{NAMESPACE}}}meta")
    return found | _from_json(ours.text if ours is not None else None)


def _from_json(text: str | None) -> dict[str, str]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


def _for_xml(text: str) -> str:
    """Escaped, without the characters that XML 1.0 can't hold at all."""
    import html

    return html.escape(
        "".join(c for c in text if c in "\t\n\r" or " " <= c < "\ud800" or "\ue000" <= c < "\ufffe" or c > "\uffff")
    )


def extension_note(name: str) -> bytes:
    """A packet that says where the real one is: in the extension of this name."""
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about="" '
        f'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{name}"/></rdf:RDF></x:xmpmeta>'
    ).encode()
