/* Sound: a loop of the mix that never stops while hits change over it, and single hits.

The mix and each hit's track come from the daemon as loops of exactly the same length, hits already in place and at
their level. A new track is started at the phase of the mix and faded in while the old one fades out: stepping
through hits cannot leave a gap. */

import { bytes } from "./api.js";

const FADE_S = 0.012;
const LEAD_S = 0.02;
const RATE = 44100; /* the daemon's, so that loops stay exact to the sample */
const KEPT = 160;
const HEADROOM = 0.6;

export class Player {
  constructor(changed) {
    this.changed = changed;
    this.sounds = new Map();
    this.loop = null; /* { began, length } once the mix plays */
    this.tracks = { music: null, hit: null, original: null };
    this.turn = 0;
  }

  get playing() {
    return this.loop !== null;
  }

  /** 0..1 within the loop, or null. */
  get phase() {
    if (!this.loop) return null;
    const elapsed = this.context.currentTime - this.loop.began;
    return elapsed < 0 ? 0 : (elapsed % this.loop.length) / this.loop.length;
  }

  open() {
    if (!this.context) {
      this.context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
      this.out = new GainNode(this.context, { gain: HEADROOM });
      this.out.connect(this.context.destination);
    }
    if (this.context.state === "suspended") this.context.resume();
    return this.context;
  }

  /** A decoded sound, fetched once. */
  load(url) {
    if (!this.sounds.has(url)) {
      const sound = bytes(url).then((data) => this.open().decodeAudioData(data));
      sound.catch(() => this.sounds.delete(url));
      this.sounds.set(url, sound);
      if (this.sounds.size > KEPT) this.sounds.delete(this.sounds.keys().next().value);
    }
    return this.sounds.get(url);
  }

  async once(url) {
    const turn = ++this.turn;
    const buffer = await this.load(url);
    if (turn !== this.turn) return;
    this.hush();
    const source = new AudioBufferSourceNode(this.context, { buffer });
    const gain = new GainNode(this.context);
    source.connect(gain).connect(this.out);
    source.start();
    this.single = { source, gain };
  }

  hush() {
    if (this.single) fadeOut(this.context, this.single, this.context.currentTime);
    this.single = null;
  }

  /** Plays the mix, and over it a hit's track or the original. */
  async start(urls, original) {
    const turn = ++this.turn;
    this.open();
    const [music, hit, old] = await Promise.all([urls.music, urls.hit, urls.original].map((url) => url && this.load(url)));
    if (turn !== this.turn) return;
    this.silence();
    this.hush();
    this.loop = { began: this.context.currentTime + LEAD_S, length: music.duration };
    this.tracks.music = this.follow(music, 1);
    if (hit) this.tracks.hit = this.follow(hit, original ? 0 : 1);
    if (old) this.tracks.original = this.follow(old, original ? 1 : 0);
    this.changed();
  }

  /** Puts another hit's track in the place of the last, without a gap. */
  async swap(url, original) {
    const turn = ++this.turn;
    const buffer = await this.load(url);
    if (turn !== this.turn || !this.loop) return;
    const last = this.tracks.hit;
    this.tracks.hit = this.follow(buffer, original ? 0 : 1);
    if (last) fadeOut(this.context, last, this.context.currentTime + LEAD_S);
  }

  /** Original or suggestion. */
  compare(original) {
    if (!this.loop) return;
    const now = this.context.currentTime;
    this.tracks.hit?.gain.gain.setTargetAtTime(original ? 0 : 1, now, FADE_S / 3);
    this.tracks.original?.gain.gain.setTargetAtTime(original ? 1 : 0, now, FADE_S / 3);
  }

  stop() {
    this.turn += 1;
    this.hush();
    this.silence();
    this.changed();
  }

  silence() {
    if (!this.loop) return;
    for (const track of Object.values(this.tracks)) if (track) fadeOut(this.context, track, this.context.currentTime);
    this.tracks = { music: null, hit: null, original: null };
    this.loop = null;
  }

  /** A looping track in step with the mix, faded in. */
  follow(buffer, level) {
    const at = Math.max(this.context.currentTime + LEAD_S, this.loop.began);
    const source = new AudioBufferSourceNode(this.context, { buffer, loop: true });
    const gain = new GainNode(this.context, { gain: 0 });
    source.connect(gain).connect(this.out);
    source.start(at, (at - this.loop.began) % this.loop.length);
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(level, at + FADE_S);
    return { source, gain };
  }
}

function fadeOut(context, { source, gain }, at) {
  gain.gain.cancelScheduledValues(at);
  gain.gain.setTargetAtTime(0, at, FADE_S / 3);
  source.stop(at + 3 * FADE_S);
}
