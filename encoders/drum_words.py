"""What the words in names of drums mean: the dictionary of `encoders.drum_types`, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Weight(IntEnum):
    """How much a word says. Of the types that a name holds, the weightiest wins: "Noise Tom" is a tom."""

    SOUND = 1  # no drum, but often said of one: "bass", "noise", "fx"
    FAMILY = 2  # a family or a material: "cymbal", "perc", "wood"
    SHORT = 3  # an abbreviation, or else someone's initials: "SD", "CB"
    NAME = 4  # the drum by its name


@dataclass(frozen=True, slots=True)
class Sense:
    """What one phrase says."""

    type: str
    weight: Weight
    subtype: str | None = None


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


DICTIONARY: tuple[tuple[Sense, str], ...] = (
    (
        Sense("kick", Weight.NAME),
        "kick, kik, kix, bass drum, kick drum, kdrum, base drum, grosse trommel, fusstrommel, grosse "
        "caisse, bombo, bumbo, gran cassa, cassa",
    ),
    (Sense("kick", Weight.SHORT), "bd, bdr, kd, kk, kck, k"),
    (
        Sense("snare", Weight.NAME),
        "snare, snare drum, kleine trommel, caisse claire, caja, caixa, redoblante, rullante",
    ),
    (Sense("snare", Weight.SHORT), "sd, sdr, sn, snr, snar"),
    (
        Sense("snare", Weight.NAME, "rim"),
        "rim shot, rim click, rim knock, stick rim, snare rim, rim snare, side stick, sstick, cross stick, "
        "xstick",
    ),
    (Sense("snare", Weight.SHORT, "rim"), "rim, rs, rms"),
    (
        Sense("hihat", Weight.NAME),
        "hi hat, high hat, hat, hhat, charley, charleston, chimbal, contratiempo",
    ),
    (
        Sense("hihat", Weight.NAME, "open"),
        "cymbal open, open cymbal, cymbal opened, cymbale ouverte, platillo abierto",
    ),
    (
        Sense("hihat", Weight.NAME, "closed"),
        "cymbal closed, closed cymbal, cymbale fermee, platillo cerrado",
    ),
    (Sense("hihat", Weight.NAME, "pedal"), "cymbal pedal, pedal cymbal, cymbal foot"),
    (Sense("hihat", Weight.SHORT), "hh"),
    (Sense("hihat", Weight.SHORT, "open"), "oh, ohh, hho, hhop, hhod, hh o, o hh"),
    (
        Sense("hihat", Weight.SHORT, "closed"),
        "ch, chh, hhc, hhcl, hhcd, hcl, clhh, hh c, c hh",
    ),
    (Sense("hihat", Weight.SHORT, "pedal"), "phh, hhp, hhpd, hhf, hh p, p hh"),
    (Sense("ride", Weight.NAME), "ride, rided"),
    (Sense("ride", Weight.SHORT), "rd, rc, rdc"),
    (Sense("crash", Weight.NAME), "crash, splash, china, crash ride, ride crash, crash becken"),
    (Sense("crash", Weight.SHORT), "cr, crs, crsh, csh, cshd, spl"),
    (
        Sense("crash", Weight.FAMILY),
        "cymbal, cymbals, cymbale, cy, cym, cymb, becken, platillo, platillos, piatto, piatti, prato",
    ),
    (
        Sense("tom", Weight.NAME),
        "tom, tom tom, floor tom, rack tom, standtom, haengetom, tom h, tom hh, tom m, tom l, tom ll",
    ),
    (Sense("tom", Weight.SHORT), "lt, mt, ht, ft, tt, lmt, hmt, lft, hft"),
    (Sense("clap", Weight.NAME), "clap, hand clap, hand clp, palmas"),
    (Sense("clap", Weight.SHORT), "cp, clp, hcp"),
    (
        Sense("percussion", Weight.NAME),
        "conga, conga h, conga hh, conga m, conga l, conga ll, bongo, cow bell, shaker, tambourine, "
        "tambourin, tamborine, tamborim, tambo, maraca, maracas, clave, claves, wood block, timbale, agogo, "
        "cabasa, guiro, finger snap, snap finger, udu, djembe, tabla, cajon, darbuka, surdo, cuica, "
        "castanet, castanets, vibraslap, sleigh bell, jingle bell, bell tree, wind chime, kuhglocke, "
        "schellenkranz, caxixi, bodhran, taiko, tumba, quinto, pandeiro, repinique, temple block, jam block",
    ),
    (
        Sense("percussion", Weight.SHORT),
        "shk, shkr, tamb, tmb, cow, cb, cl, clv, lc, mc, hc, ma, mar, cab, gui, bng, cng, agg, wb",
    ),
    (
        Sense("percussion", Weight.FAMILY),
        "perc, prc, percussion, percussive, percusion, percu, perk, clav, wood, triangle, snap, finger, "
        "stick, block, gong, chime, whistle, rattle, bottle",
    ),
    (
        Sense("other", Weight.SOUND),
        "bass, sub, synth, sy, chord, stab, pad, lead, pluck, key, keys, piano, guitar, gtr, string, "
        "strings, brass, organ, rhodes, flute, sax, arp, melody, vocal, vocals, vox, bgvox, voice, choir, "
        "fx, sfx, effect, noise, zap, laser, riser, sweep, uplifter, downlifter, impact, texture, drone, "
        "ambience, atmosphere, atmos, foley, scratch, bell, siren, glitch",
    ),
)
"""Phrases by what they say. Written as one ("bassdrum") or in the plural, they are understood too."""

HIHAT_SUBTYPES = {
    word: subtype
    for subtype, words in {
        "open": "open opened op opn semiopen halfopen ouvert ouverte abierto abierta offen aperto",
        "closed": "closed close cl cls clsd ferme fermee cerrado cerrada geschlossen chiuso",
        "pedal": "pedal ped pd foot chick",
    }.items()
    for word in words.split()
}
"""Beside a hi-hat these say how it is held, and nothing else: "HH_03_CL" has no claves."""

LOOP = _set("loop bpm")
"""Always a loop."""
LOOP_TAIL = _set("break beat breakbeat groove fill roll")
"""A loop when no drum comes after: a "Kick Groove" is a groove, a "Break Kick" is a kick."""
LOOP_ALONE = _set("beats tops")
"""A loop when the name holds no drum at all: "Kick (LexBeats)" is a kick."""
LISTING = _set("and und et & + ,")
"""Between things of one rank: "Hats & Cymbals" is not only hats."""
COLLECTIVE = {"cymbals": Sense("ride", Weight.FAMILY)}
"""What a word says besides its own type when it names a folder: "Cymbals" holds crashes and rides."""

QUALIFIERS = _set(
    "open opened closed close pedal foot semi half tight hi high mid low floor rack left right hard soft "
    "long short edge bell cup bow top bottom off on dry wet acoustic electro loop one shot drum drums"
)
"""Words without a type of their own that stand glued to one that has: "kickhard", "TomLow"."""
INSIDE = _set(
    "kick snare hihat hhat crash cymbal clap rimshot sidestick splash cowbell tambourin shaker bongo conga "
    "timbale maraca woodblock bassdrum kdrum floortom percussion"
)
"""Words so distinct that they count anywhere in a longer one: "PearlSnareX", "jsnare"."""
AT_END = ("hats", "hat", "toms", "tom", "rides", "ride")
"""Words that count at the end of a longer one: "CrispHat"; `ORDINARY` keeps the accidents out."""
ORDINARY = _set(
    "that what chat somewhat thats whats chats custom customs bottom bottoms phantom fantom atom atoms "
    "symptom accustom bride pride stride strides override overrides joyride deride astride chloride "
    "fluoride nitride mcbride sidekick clapton kickstart kickstarter kickback"
)
