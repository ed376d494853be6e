use super::*;
use crate::bounds;
use crate::image::canvas::{TOO_LARGE, TOO_LONG};

macro_rules! samples {
    ($($name:literal)*) => {
        &[$(($name, include_bytes!(concat!("../../../tests/pictures/", $name)) as &[u8])),*]
    };
}

/// Made by Pillow, 48 pixels wide and 32 high.
const SAMPLES: &[(&str, &[u8])] = samples!(
    "animated-default.png" "animated.gif" "animated.png" "animated.webp" "baseline.jpg" "cmyk.jpg"
    "lossless.webp" "lossy-alpha.webp" "lossy.webp" "notes.png" "progressive-thumbnail.jpg"
    "transparent.gif" "two.mpo"
);

fn sample(name: &str) -> Vec<u8> {
    SAMPLES.iter().find(|(sample, _)| *sample == name).expect("a sample").1.to_vec()
}

/// The offset of the `n`th occurrence of `pattern`.
fn find(data: &[u8], pattern: &[u8], n: usize) -> usize {
    let places = data.windows(pattern.len()).enumerate().filter(|(_, window)| *window == pattern);
    places.map(|(at, _)| at).nth(n).expect("it is in there")
}

/// A sample with bytes replaced, at an offset after the `n`th occurrence of a pattern.
fn patched(name: &str, (pattern, n): (&[u8], usize), offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut data = sample(name);
    let at = find(&data, pattern, n) + pattern.len() + offset;
    data[at..at + bytes.len()].copy_from_slice(bytes);
    data
}

#[track_caller]
fn assert_refused(data: &[u8], reason: &str) {
    match read(data) {
        Ok(read) => panic!("taken as {read:?}"),
        Err(refusal) => assert!(refusal.starts_with(reason), "{refusal:?}, not {reason:?}"),
    }
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    // The checksum is not checked.
    [&length, &name[..], body, &[0; 4]].concat()
}

#[test]
fn ordinary_pictures_are_taken() {
    for (name, data) in SAMPLES {
        let (kind, canvas) = read(data).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        let expected = match name.rsplit_once('.').unwrap().1 {
            "gif" => ImageType::Gif,
            "png" => ImageType::Png,
            "webp" => ImageType::Webp,
            _ => ImageType::Jpeg,
        };
        // Five frames each; where the first is not part of the animation, it is a sixth.
        let frames = if name.contains("animated") { 5 } else { 1 };
        assert_eq!(kind, expected, "{name}");
        assert_eq!((canvas.width, canvas.height, canvas.frames), (48, 32, frames), "{name}");
    }
}

#[test]
fn a_picture_cut_short_is_refused() {
    for (name, data) in SAMPLES {
        // Of two in one file, the first is the picture.
        let whole = if *name == "two.mpo" { find(data, b"\xff\xd9", 0) + 2 } else { data.len() };
        for length in 0..whole {
            let Ok((kind, canvas)) = read(&data[..length]) else { continue };
            // A GIF may end after any of its frames.
            let ends_with_a_frame = data[length - 1] == 0 && canvas.frames > 0;
            assert!(kind == ImageType::Gif && ends_with_a_frame, "{name} cut to {length}");
        }
    }
}

#[test]
fn a_damaged_picture_is_within_the_bounds_or_refused() {
    for (name, data) in SAMPLES {
        let mut data = data.to_vec();
        for at in 0..data.len() {
            for byte in [0, 0x3b, 0x7f, 0xff] {
                let before = std::mem::replace(&mut data[at], byte);
                if let Ok((_, canvas)) = read(&data) {
                    let pixels = canvas.width * canvas.height;
                    assert!(pixels <= bounds::AVATAR_PIXELS, "{name} at {at}");
                    assert!(pixels * canvas.frames <= bounds::AVATAR_FRAMES_PIXELS, "{name} at {at}");
                }
                data[at] = before;
            }
        }
    }
}

/// What counts is what programs would decode, not what the file says first.
#[test]
fn a_size_within_that_is_another_is_refused() {
    // The second frame of a GIF: after its control block, the image separator, and its position.
    let second = (b"\x21\xf9\x04".as_slice(), 1);
    assert_refused(&patched("animated.gif", second, 5 + 1 + 4, &[0xff; 4]), MALFORMED);
    assert_refused(&patched("animated.gif", second, 5 + 1, &[40, 0]), MALFORMED);
    // An animation frame in a PNG, after its number: width, height, position.
    for n in 0..5 {
        assert_refused(&patched("animated.png", (b"fcTL", n), 4, &[0, 0, 0xff, 0xff]), MALFORMED);
        assert_refused(&patched("animated.png", (b"fcTL", n), 12, &[0xff; 4]), MALFORMED);
    }
    // A WebP canvas of 1 by 1 that contains everything, and frames that say otherwise.
    for name in ["lossy-alpha.webp", "lossless.webp", "animated.webp"] {
        let data = sample(name);
        if data.windows(4).any(|window| window == b"VP8X") {
            assert_refused(&patched(name, (b"VP8X", 0), 8, &[0; 6]), MALFORMED);
        }
    }
    assert_refused(&patched("animated.webp", (b"ANMF", 1), 4 + 6, &[0xff; 6]), MALFORMED);
    let inner = patched("animated.webp", (b"\x9d\x01\x2a", 1), 0, &[0xff, 0x3f, 0xff, 0x3f]);
    assert_refused(&inner, MALFORMED);
    // An animation with more frames than announced, or fewer.
    assert_refused(&patched("animated.png", (b"acTL", 0), 0, &[0, 0, 0, 4]), MALFORMED);
    assert_refused(&patched("animated.png", (b"acTL", 0), 0, &[0, 0, 0, 6]), MALFORMED);
    let frame = patched("lossy-alpha.webp", (b"\x9d\x01\x2a", 0), 0, &[0xff, 0x3f, 0xff, 0x3f]);
    assert_refused(&frame, MALFORMED);
    // A single first frame is the canvas itself.
    assert_refused(&patched("lossy.webp", (b"\x9d\x01\x2a", 0), 0, &[0xff, 0x3f, 0xff, 0x3f]), TOO_LARGE);
    assert_refused(&patched("lossless.webp", (b"VP8L", 0), 5, &[0xff, 0xff, 0xff, 0x0f]), TOO_LARGE);
}

#[test]
fn another_picture_in_a_jpeg_is_looked_at() {
    let header = b"\xff\xc0\x00\x11\x08".as_slice();
    assert_refused(&patched("baseline.jpg", (header, 0), 0, &[0xff; 4]), TOO_LARGE);
    // The preview that EXIF holds, and the second of two.
    assert_refused(&patched("progressive-thumbnail.jpg", (header, 0), 0, &[0xff; 4]), TOO_LARGE);
    assert_refused(&patched("two.mpo", (header, 1), 0, &[0xff; 4]), TOO_LARGE);
    // A second header in the same picture, of the same size.
    let mut twice = sample("baseline.jpg");
    let at = find(&twice, b"\xff\xc0", 0);
    let again = twice[at..at + 2 + 0x11].to_vec();
    twice.splice(at..at, again);
    assert_refused(&twice, MALFORMED);
    // A preview in the three others.
    let preview = patched("progressive-thumbnail.jpg", (header, 0), 0, &[0xff; 4]);
    let mut data = sample("notes.png");
    let end = find(&data, b"IEND", 0) - 4;
    data.splice(end..end, chunk(b"eXIf", &preview));
    assert_refused(&data, TOO_LARGE);
    // Lines that are counted only in the picture's data (T.81 B.2.5).
    assert_refused(&patched("baseline.jpg", (header, 0), 0, &[0, 0]), TOO_LARGE);
}

#[test]
fn the_number_of_frames_and_their_sum_are_bounded() {
    let gif = |side: u16, frames: usize| {
        let [low, high] = side.to_le_bytes();
        let frame = [0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 1, 0, 0];
        let start = [b"GIF89a".as_slice(), &[low, high, low, high, 0, 0, 0]].concat();
        [start, frame.repeat(frames), vec![0x3b]].concat()
    };
    assert!(read(&gif(1, 1000)).is_ok());
    assert_refused(&gif(1, 1001), TOO_LONG);
    assert_refused(&gif(1, 60_000), TOO_LONG);
    // 1,000 by 1,000: a megapixel each, however little of it a frame changes.
    assert!(read(&gif(1000, 64)).is_ok());
    assert_refused(&gif(1000, 65), TOO_LONG);
    assert_refused(&gif(1, 0), MALFORMED);
    assert_refused(&gif(0, 1), TOO_LARGE);
}

#[test]
fn a_jpeg_has_no_more_than_32_scans() {
    let data = sample("progressive-thumbnail.jpg");
    let end = data.len() - 2;
    let scan = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 0x3f, 0, 0x12];
    let own = find(&data, b"\xff\xc2", 0);
    let own = data[own..].windows(2).filter(|pair| *pair == [0xff, 0xda]).count();
    let with = |scans: usize| [&data[..end], &scan.repeat(scans - own), &data[end..]].concat();
    assert!(read(&with(32)).is_ok());
    assert_refused(&with(33), "more than 32 scans");
}

#[test]
fn notes_are_inflated_to_four_mebibytes_and_no_further() {
    let deflated = |bytes: usize| miniz_oxide::deflate::compress_to_vec_zlib(&vec![b' '; bytes], 9);
    let with = |notes: &[(&[u8; 4], Vec<u8>)]| {
        let mut data = sample("notes.png");
        let end = find(&data, b"IEND", 0) - 4;
        data.splice(end..end, notes.iter().flat_map(|(name, body)| chunk(name, body)));
        data
    };
    let plain = [b"n\0\0".as_slice(), &deflated(4_000_000)].concat();
    let tagged = [b"n\0\x01\0de\0n\0".as_slice(), &deflated(4_000_000)].concat();
    for (name, note) in [(b"zTXt", &plain), (b"iCCP", &plain), (b"iTXt", &tagged)] {
        assert!(read(&with(&[(name, note.clone())])).is_ok());
        assert_refused(&with(&[(name, note.clone()), (b"zTXt", plain.clone())]), "notes that are broken");
        assert_refused(&with(&[(name, note[..note.len() - 8].to_vec())]), "notes that are broken");
    }
}

#[test]
fn only_four_kinds_are_pictures() {
    for data in ["", "GIF", "GIF88a", "<svg xmlns='http://www.w3.org/2000/svg'/>", "BM", "RIFF\0\0\0\0WAVE"] {
        assert_refused(data.as_bytes(), UNKNOWN);
    }
}
