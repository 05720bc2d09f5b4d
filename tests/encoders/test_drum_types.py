"""Types from names: a table of names as packs have them, the rules one by one, and the audio corpus."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.audio import EXTENSIONS
from encoders.drum_types import SIX, TYPES, Typed, guess_type
from encoders.drum_words import DICTIONARY

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
LOOP = Typed("other", is_loop=True)

NAMES = {
    "kick": """
        KSHMR_Kick_08_F#.wav | Cymatics - Kick 12 (F).wav | TR-808 Kick 05.wav | BD0075.WAV | BD5010
        bd_haus.flac | 808BD 03.wav | LM-1 Kick.wav | Linn_BD_A.wav | Kick Drum 3 | BassDrum01.aif
        bass_drum-acoustic.wav | Ludwig26Kick-1.flac | SO_PF_kick_punchy_Am.wav | PunchyKICK.wav
        sub kick 2 | Kick_Sub_G.wav | Kick+Noise.wav | Bass Kick.wav | synth kick dark.wav | KdrumR_4.flac
        KD-02.wav | 99Sounds Kick 001.wav | RD-9 Kick 2.wav | Kick (LexBeats).wav | Break Kick 2.wav
        Amen Break - Kick.wav | Drum & Bass Kick 07.wav | DnB_Kick_174.wav | GB_Vinyl909_BD_14.wav
        hardkick.wav | kickhard.wav | 05_VEC1_BD_005.wav | Loop Kit One Shot Kick.wav | Große Trommel.wav
        Grosse Caisse 2.wav | Bombo_03.wav | Rock and Roll Kick.wav | CB_Kick_01.wav | TopKick.wav
        KickTop.wav | Kick's 4.wav | CR-78 Kick.wav | Kix 09.wav | TekKickDrum.wav
    """,
    "snare": """
        TR-909_SD_T7.wav | SD5010.wav | KSHMR_Snare_14_G.wav | Cymatics - Trap Snare 3.wav | SN_03
        sn_dolf.flac | Snr 04.wav | PearlSnareEdge-1.flac | jsnare_01.flac | snare-accent.flac
        Snares_12.wav | Snare Top Mic.wav | Snare_Hi_Tuned.wav | Break Snare 9.wav | LM2 Snare H.wav
        SnareOff-3.flac | Snare Snap.wav | Noise Snare 2.wav | SO_TP_snare_crack.wav | caisse claire 1.wav
        Kleine Trommel.wav | Caja 07.wav | Snare Drum Brush.wav | 808 SD 10.wav | FX Snare Verb.wav
        80s Beats Snare.wav | SC_Snare_Fat_120.wav | Wood Snare.wav
    """,
    "snare rim": """
        RS.wav | rim_10_rim.flac | Rimshot 02.wav | SideStick-1.flac | Side Stick.wav | 808 Rim.wav
        snare rim 3.wav | SnareOffRim-0.flac | stick-rim-9.flac | Cross-Stick 4.wav
        PearlSnareRimshot-Hard.flac | Sidestick2-3.flac | CR-78_rim.flac | KSHMR_Rimshot_03.wav
        Rim Click.wav | SnareRim_02.wav
    """,
    "hihat": """
        HH_01.wav | Hat 3.wav | CrispHat.wav | crisphat07.wav | hi hat.wav | HiHats_09.wav | HIHAT.wav
        606HH.wav | Cymatics - Hihat 5.wav | hhat-light.flac | Hats_Dusty_2.wav | High-Hat 2.wav
        Hihat Cymbal.wav | Charley 3.wav | Perc Hat 2.wav | FX_HH_01.wav | HH3_05.flac | That Hat.wav
    """,
    "hihat closed": """
        HiHatClosed-0.flac | hh_cl | CHH_1 | CH.WAV | 909 CH 3.wav | Closed Hat 8.wav | Hat_Cl_Dirty
        HatClosed.wav | KSHMR_Closed_Hat_11.wav | closehihat3 | hihat_closed01 | HH_03_CL.wav | hh_tight_cl
        hhc_2.wav | HHCD4.WAV | drum_cymbal_closed.flac | VP_Hat_1_Cl | Charley fermé.wav | ClosedHats_01
        hi-hat.closed.3.wav | HH-C 2.wav
    """,
    "hihat open": """
        HiHatOpen-3 | OH.wav | oh_10_oh | OHH_1 | Open Hat 2.wav | openhat2 | HH Open 7.wav | 808_Hat_Open
        HHOD4.WAV | HatOpen.wav | hhat-paiste-302-14-open-p | HiHatSemiopen-0 | Hat_Op_Phaser
        Charley ouvert 3.wav | 909_OH_02.wav | KSHMR_Open_Hat_02.wav | drum_cymbal_open
        HihatOpen_10-HihatOpen | hh_o_3
    """,
    "hihat pedal": """
        HiHatFoot-2.flac | pedalhihat | 808_Hat_Pedal | hihat_foot_pedal01 | VP_Hat_1_Pd | hh_p.flac
        PHH_02.wav | Hat Chick 1.wav | drum_cymbal_pedal
    """,
    "ride": """
        Ride-0.flac | RD_05 | RD2_01.flac | RideL_10-RideL | 24Ride-1 | SabianAAX20Ride-4 | Ride Bell 3.wav
        ride-cup1 | RideBell.wav | RC_2.wav | Cymbal Ride 2.wav | Ride Cymbal.wav | 909 Ride.wav
        KSHMR_Ride_02.wav | RIDED4.WAV
    """,
    "crash": """
        Crash18-2.flac | CrashTip_1.flac | CrashRide18Bell-3 | crash ride 2.wav | China_10-China
        Splash10-0 | CY5050.WAV | cymball-long.flac | elec_cymbal | CYM 3.wav | Crash Cymbal 4.wav
        ZildjianK17Crash-5 | Becken 2.wav | CRSH_01 | 909 CR.wav | Reverse Crash.wav | Platillo 04.wav
        Cymbale 3.wav | KSHMR_Crash_05.wav | SabianCrashFlink-Hard
    """,
    "tom": """
        FloorTom16.wav | Ludwig16FloorTom-1 | tom-hh.flac | tom-ll | Pearl13Tom2-4.flac | LT50.WAV
        MT 3.wav | ht_10_ht | Tom Hi.wav | TomLow.wav | drum_tom_mid_hard | Tom4_19-Tom4 | noise-tom0
        Tom-Tom 2.wav | rack_tom_1 | FT_02.wav | 808 Toms 4.wav | DeepTom.wav | StandTom 2.wav
        synth tom c3.wav | Hängetom 1.wav | tr505-tom-l | elec_fuzz_tom
    """,
    "clap": """
        Clap01.wav | HandClap-Hard | CP.WAV | 909 CP 3.wav | hand clap.wav | Clp_04.wav | KSHMR_Clap_09.wav
        claps.wav | clap_Dry_c.flac | Cymatics - Clap 7 (Wide).wav | HANDCLP1.WAV | CLAPS | RimClap.wav
        Snap Clap 3.wav
    """,
    "percussion": """
        Cowbell.wav | CB.wav | 808_CowBell_2 | Conga Hi.wav | conga-hh | LC25.WAV | Bongo 5.wav
        Shaker_16.wav | SHK 2.wav | Tambourine.wav | Tamb_3.wav | MA.WAV | Maracas 2 | Claves.wav | CL.WAV
        wood block 2 | WoodBlock.wav | timbale_hi | agogo 1.wav | Cabasa.wav | guiro-long.wav | Triangle.wav
        Finger Snap 3.wav | snap 02.wav | Perc 12.wav | PERC_04_D#.wav | Percussion Hit 3.wav | BUILD_PRC
        KSHMR_Perc_21.wav | Perc FX.wav | wood01.ogg | clav01.ogg | Sleigh Bells.wav | Kuhglocke.wav
        Djembe Slap.wav
    """,
    "other": """
        zap01.ogg | nasty_bass01.ogg | BASS_STAB | SY_BASS | VOX_LEAD | FX 03.wav | noise-white.wav
        Synth Pluck C.wav | HIGH_STABS | MELODY_GLITCH | TEXTURE | BGVOX_ECHO | Riser 8 bars.wav
        chord_Am7.wav | Vocal Chop 3.wav | 808 Bass C
    """,
    "loop": """
        CYMATICS - Hihat Loop 3 - 150 BPM.wav | Kick Snare Loop.wav | DrumLoop_128.wav | drum loop.wav
        Kick Groove.wav | Amen Break.wav | breakbeat 2.wav | Snare Fill 4.wav | FILL_BUILD | GARAGE_BEAT
        BIG_BEAT | TOPS | TopLoop_02.wav | SO_DB_120bpm_hat.wav | 90 BPM Drums.wav | Tom Fill.wav
        Perc Loops 5.wav | Shaker_Groove_110.wav | Snare Roll 2.wav | Bass Loop 120bpm.wav | hatloop-4.wav
    """,
    "nothing": """
        K_and_SN | KickHat.wav | Kick Snare.wav | Clap & Snare 3.wav | Snare+Clap.wav | custom 01.wav
        Chat.wav | that_thing.wav | Bottom.wav | Phantom 3.wav | 01.wav | 808.wav | Tom's favourite.wav
        Joyride.wav | Chop 04.wav | Drum & Bass 04.wav | CR-78.wav | Sound 7.wav | overhead.wav | marlow.wav
        crash16i__ride2.flac | .wav | _
    """,
}


def expected(label: str) -> Typed | None:
    if label in ("loop", "nothing"):
        return LOOP if label == "loop" else None
    return Typed(*label.split())


TABLE = [
    (name.strip(), label)
    for label, text in NAMES.items()
    for line in text.strip().splitlines()
    for name in line.split("|")
]


@pytest.mark.parametrize(("name", "label"), TABLE, ids=[name for name, _ in TABLE])
def test_file_name_tells_the_type(name, label):
    assert guess_type(name) == expected(label)


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("Kicks/Deep 01.wav", "kick"),
        ("Snares/Trap/03.wav", "snare"),
        ("Hats/Closed/01.wav", "hihat closed"),
        ("Hats/Closed/HH 01.wav", "hihat closed"),
        ("Open Hats/HH_12.wav", "hihat open"),
        ("Open Source Samples/Hats/01.wav", "hihat"),
        ("Closed Hats/Open Hat 3.wav", "hihat open"),
        ("Kicks/Snare 3.wav", "snare"),
        ("Kicks/Sub Noise 3.wav", "kick"),
        ("Snares/Wood 3.wav", "snare"),
        ("Rides/Cymbal 3.wav", "ride"),
        ("Snare Kit/Vox/Vox 3.wav", "other"),
        ("Snares & Claps/03.wav", "nothing"),
        ("Hats & Cymbals/03.wav", "nothing"),
        ("Kicks and 808s/03.wav", "kick"),
        ("Cymbals/17in.wav", "nothing"),
        ("Crash Cymbals/17in.wav", "crash"),
        ("Cymbals/Ride 3.wav", "ride"),
        ("Cymbals.wav", "crash"),
        ("Kicks/Snares & Claps/03.wav", "kick"),
        ("Kicks/Kick Hat.wav", "nothing"),
        ("Percussion/Thing.wav", "percussion"),
        ("Drum & Bass/Thing.wav", "nothing"),
        ("Drum Loops/Kick 03.wav", "loop"),
        ("Loops/Kicks/Kick 03.wav", "loop"),
        ("Loops/One Shots/Kick 03.wav", "kick"),
        ("Loops & One-Shots/Kicks/Kick 03.wav", "kick"),
        ("Loops and Samples/Kick 03.wav", "kick"),
        ("Drum Loops/Kick One Shot.wav", "kick"),
        ("Kick and Hat Loops/03.wav", "loop"),
        ("Fat Beats/Kick 03.wav", "kick"),
        ("Nu Breaks/Kicks/03.wav", "kick"),
        ("Breaks/Amen.wav", "loop"),
        ("/home/tom/03.wav", "nothing"),
        ("/home/tom/Toms/03.wav", "tom"),
        ("C:\\Users\\Tom\\Samples\\03.wav", "nothing"),
        ("C:\\Packs\\Kicks\\03.wav", "kick"),
        ("Tom's Kit/03.wav", "nothing"),
        ("Kicks/", "kick"),
        ("", "nothing"),
    ],
)
def test_folders_tell_what_the_file_does_not(path, label):
    assert guess_type(path) == expected(label)


def test_path_objects_and_strings_agree():
    assert (
        guess_type(Path("Hats/Closed/03.wav")) == guess_type("Hats/Closed/03.wav") == Typed("hihat", "closed")
    )


def test_composed_and_decomposed_accents_agree():
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert guess_type(unicodedata.normalize(form, "Charley fermé.wav")) == Typed("hihat", "closed")
        assert guess_type(unicodedata.normalize(form, "Hängetom.wav")) == Typed("tom")
    assert guess_type("Ｋｉｃｋ.wav") == Typed("kick")


def test_names_that_are_not_utf8_are_read_around_their_bytes():
    assert guess_type(os.fsdecode(b"Caf\xe9/\xff Kick \xe4.wav")) == Typed("kick")


def test_very_long_names_are_read():
    assert guess_type("x" * 100_000 + " snare.wav") == Typed("snare")
    assert guess_type("hihat" * 20_000) == Typed("hihat")
    assert guess_type("hh" * 20_000) is None


def test_every_phrase_of_the_dictionary_is_reachable_and_has_one_meaning():
    seen: dict[str, str] = {}
    for sense, phrases in DICTIONARY:
        for phrase in phrases.split(", "):
            assert phrase not in seen, f"{phrase!r} is {seen.get(phrase)} and {sense.type}"
            seen[phrase] = sense.type
            typed = guess_type(f"{phrase}.wav")
            assert typed is not None and typed.type == sense.type, phrase
            assert sense.subtype is None or typed.subtype == sense.subtype, phrase


ANY_NAME = st.one_of(st.text(), st.binary().filter(lambda raw: b"\0" not in raw).map(os.fsdecode))
PART = st.sampled_from(
    [phrase for _, phrases in DICTIONARY for phrase in phrases.split(", ")]
    + ["loop", "Break", "One Shot", "closed", "&", "3", "_", "-", " ", "/", "Tom's", "120bpm", "x"]
)
DRUM_NAME = st.lists(PART, min_size=1, max_size=6).map("".join)


@given(st.one_of(ANY_NAME, DRUM_NAME))
def test_any_name_gives_a_known_type_or_none(name):
    typed = guess_type(name)
    assert typed is None or typed.type in TYPES
    assert typed is None or not (typed.is_loop and typed.type in SIX)
    assert typed is None or typed.subtype in {
        "hihat": ("open", "closed", "pedal", None),
        "snare": ("rim", None),
    }.get(typed.type, (None,))


@given(DRUM_NAME, st.sampled_from(sorted(EXTENSIONS)), st.sampled_from([str.upper, str.title, str.swapcase]))
def test_neither_case_nor_extension_matters(name, extension, change):
    assert guess_type(change(name + extension)) == guess_type(name) == guess_type(f"{name}.wav")


# Names that the dictionary reads otherwise than the corpus files them; docs/drum-types.md judges each.
JUDGED = {
    "clap filed as snare": 20,
    "hihat filed as crash": 3,
    "None filed as ride": 4,
    "percussion filed as hihat": 1,
}


@pytest.mark.skipif(not (CORPUS / "one-shots").is_dir(), reason="needs ../shared/corpus/one-shots")
@pytest.mark.parametrize("with_folders", [False, True], ids=["names", "names and folders"])
def test_corpus_types_differ_only_where_judged(with_folders):
    root = CORPUS / "one-shots"
    files = [path.relative_to(root) for path in root.glob("*/*/*")]
    told = {path: guess_type(path if with_folders else path.name) for path in files}
    differing = [
        f"{typed.type if typed else None} filed as {path.parts[1]}"
        for path, typed in told.items()
        if typed is None or typed.is_loop or typed.type != path.parts[1]
    ]
    assert {kind: differing.count(kind) for kind in set(differing)} == JUDGED
    agreeing = len(files) - len(differing) + JUDGED["clap filed as snare"]
    assert agreeing / len(files) >= 0.97
