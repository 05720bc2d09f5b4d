"""Suggest Drums for Ableton Live, a Remote Script: notes of MIDI channel 16 press and insert.

Note 0 presses; notes 1 to 8 insert a hit, 9 the next, 10 the previous.
A Remote Script hears no audio, so the stems are the sound files of the audio clips that play: as recorded, without
warping or effects. It stands alone: Live runs it in a Python of its own.
"""

import json
import os
import socket
import struct
import time

STATE = "@STATE@"
ANSWER = "ableton"
CHANNEL = 15
SUGGEST, NEXT, PREVIOUS = 0, 9, 10
N_HITS = 8
WAIT_S = 10.0
TRACK = "Suggestion"
WORDS = {"kick": "kick", "snare": "snare", "hat": "hihat", "ride": "ride", "crash": "crash", "tom": "tom"}
START = "start it with: samplefit serve"


def packet(address, *arguments):
    """An OSC message of strings and numbers."""

    def string(text):
        data = os.fsencode(text) + b"\0"
        return data + b"\0" * (-len(data) % 4)

    tags, values = ",", b""
    for argument in arguments:
        tag = {int: "i", float: "f"}.get(type(argument), "s")
        tags += tag
        values += string(argument) if tag == "s" else struct.pack(">" + tag, argument)
    return string(address) + string(tags) + values


def drum_type(name):
    """The type that a track's name says, or None."""
    return next((kind for word, kind in WORDS.items() if word in name.lower()), None)


def stems(tracks, selected, at):
    """Sound files of what plays: (track's name, path). The selected track is left out where its name says a drum.

    Args:
        at: where the song stands, in beats: what counts of tracks that play from the arrangement.
    """
    found = []
    soloing = any(track.solo for track in tracks)
    for track in tracks:
        replaced = track == selected and drum_type(track.name)
        if replaced or track.name == TRACK or track.mute or (soloing and not track.solo):
            continue
        if track.playing_slot_index >= 0:
            clips = [track.clip_slots[track.playing_slot_index].clip]
        else:
            clips = [clip for clip in track.arrangement_clips if clip.start_time <= at < clip.end_time]
        found += [(track.name, clip.file_path) for clip in clips if clip and clip.is_audio_clip]
    return found


def requests(press, found, kind, tempo):
    """The messages of one press: each stem, the press, and the stems dropped again."""
    names = [f"{number} {name}"[:60] for number, (name, _) in enumerate(found)]
    wanted = ("type", kind) if kind else ()
    yield from (
        packet("/samplefit/stem/file", press, name, path)
        for name, (_, path) in zip(names, found, strict=True)
    )
    yield packet("/samplefit/suggest", press, "answer", ANSWER, "k", N_HITS, "tempo", tempo, *wanted)
    yield from (packet("/samplefit/stem/drop", press, name) for name in names)


def hits_of(document):
    """Hits of an answer, the best of each type first.

    Raises:
        ValueError: the daemon's refusal, in its words.
    """
    if "fail" in document:
        raise ValueError(document["fail"]["text"])
    return sorted(document["hits"], key=lambda hit: hit["rank"])


class Samplefit:
    """Called by Live: `receive_midi` at a note, `update_display` ten times a second."""

    def __init__(self, c_instance):
        self._live = c_instance
        self._hits, self._shown, self._until = [], -1, None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def build_midi_map(self, midi_map_handle):
        """Asks Live for our notes."""
        import Live  # exists only within Live

        for note in range(PREVIOUS + 1):
            Live.MidiMap.forward_midi_note(self._live.handle(), midi_map_handle, CHANNEL, note)

    def receive_midi(self, midi_bytes):
        """One of our notes was played."""
        status, note, velocity = midi_bytes[:3]
        if status != 0x90 | CHANNEL or not velocity:
            return
        try:
            self._suggest() if note == SUGGEST else self._step(note)
        except (OSError, ValueError, RuntimeError) as error:
            self._live.show_message(f"samplefit: {error}")

    def update_display(self):
        """Looks for the answer of a press that is under way."""
        if self._until is None:
            return
        try:
            if os.path.exists(self._path("tsv")):  # written after the .json
                self._until = None
                with open(self._path("json"), encoding="utf-8") as file:
                    self._hits, self._shown = hits_of(json.load(file)), -1
                self._step(1)
            elif time.monotonic() > self._until:
                self._until = None
                self._live.show_message(f"samplefit: no answer; {START}")
        except (OSError, ValueError, RuntimeError) as error:
            self._live.show_message(f"samplefit: {error}")

    def disconnect(self):
        """Live is done with us."""
        self._socket.close()

    def refresh_state(self):
        """Nothing is shown on a device."""

    def can_lock_to_devices(self):
        """No: there is no device to lock to."""
        return False

    def connect_script_instances(self, scripts):
        """Other scripts are no matter."""

    def suggest_input_port(self):
        """Whichever the producer chooses."""
        return ""

    def suggest_output_port(self):
        """None is needed."""
        return ""

    def suggest_map_mode(self, cc_number, channel):
        """No controller is mapped."""
        return -1

    def _suggest(self):
        song = self._live.song()
        selected = song.view.selected_track
        found = stems(song.tracks, selected, song.current_song_time)
        if not found:
            raise ValueError("no audio clip plays here; freeze or record your instruments")
        for ending in ("tsv", "json"):
            if os.path.exists(self._path(ending)):
                os.remove(self._path(ending))
        for message in requests(f"live-{time.monotonic_ns()}", found, drum_type(selected.name), song.tempo):
            self._socket.sendto(message, ("127.0.0.1", self._port()))
        self._until = time.monotonic() + WAIT_S

    def _step(self, note):
        if not self._hits:
            raise ValueError("no suggestion yet")
        if note in (NEXT, PREVIOUS):
            self._shown = (self._shown + (1 if note == NEXT else -1)) % len(self._hits)
        elif note <= len(self._hits):
            self._shown = note - 1
        else:
            raise ValueError(f"there are only {len(self._hits)} suggestions")
        hit = self._hits[self._shown]
        slot = self._slot()
        if not hasattr(slot, "create_audio_clip"):
            raise ValueError(f"Live 12.0.5 or later can insert; until then drag in {hit['path']}")
        if slot.has_clip:
            slot.delete_clip()
        slot.create_audio_clip(hit["path"])
        self._live.show_message(
            f"samplefit: {self._shown + 1} of {len(self._hits)}: {hit['type']} {hit['name']}"
        )

    def _slot(self):
        song = self._live.song()
        found = [track for track in song.tracks if track.name == TRACK]
        if not found:
            song.create_audio_track(-1)
            found = list(song.tracks)[-1:]
            found[0].name = TRACK
        return found[0].clip_slots[0]

    def _path(self, ending):
        return os.path.join(STATE, "answers", f"{ANSWER}.{ending}")

    def _port(self):
        try:
            with open(os.path.join(STATE, "daemon.json"), encoding="utf-8") as file:
                return json.load(file)["osc_port"]
        except FileNotFoundError:
            raise ValueError(f"samplefit is not running; {START}") from None


def create_instance(c_instance):
    """What Live calls when the control surface is chosen."""
    return Samplefit(c_instance)
