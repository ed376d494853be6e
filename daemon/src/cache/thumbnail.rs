//! Small square pictures for lists: cropped from the middle, and never larger than the original.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, ImageReader};
use prosed_session::ImageType;

use super::images::ThumbnailSize;
use crate::decode;

const JPEG_QUALITY: u8 = 85;

/// Makes a thumbnail: a JPEG if nothing is transparent, else a PNG; of an animation, the first frame.
pub(super) fn make(
    kind: ImageType,
    data: &[u8],
    size: ThumbnailSize,
) -> image::ImageResult<(ImageType, Vec<u8>)> {
    let (image, _) = decode::upright(ImageReader::with_format(Cursor::new(data), format(kind)), None)?;
    let side = image.width().min(image.height());
    let (left, top) = ((image.width() - side) / 2, (image.height() - side) / 2);
    let square = image.crop_imm(left, top, side, side);
    let side = side.min(size.pixels().into());
    let small = square.resize_exact(side, side, FilterType::Triangle);
    let mut made = Vec::new();
    if is_opaque(&small) {
        small.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut made, JPEG_QUALITY))?;
        Ok((ImageType::Jpeg, made))
    } else {
        small.to_rgba8().write_to(&mut Cursor::new(&mut made), ImageFormat::Png)?;
        Ok((ImageType::Png, made))
    }
}

fn is_opaque(image: &DynamicImage) -> bool {
    !image.color().has_alpha() || image.to_rgba8().pixels().all(|pixel| pixel.0[3] == u8::MAX)
}

fn format(kind: ImageType) -> ImageFormat {
    match kind {
        ImageType::Gif => ImageFormat::Gif,
        ImageType::Jpeg => ImageFormat::Jpeg,
        ImageType::Png => ImageFormat::Png,
        ImageType::Webp => ImageFormat::WebP,
    }
}

/// Whether a thumbnail is complete at both ends.
pub(super) fn is_whole(kind: ImageType, data: &[u8]) -> bool {
    match kind {
        ImageType::Jpeg => data.starts_with(b"\xff\xd8") && data.ends_with(b"\xff\xd9"),
        ImageType::Png => data.starts_with(b"\x89PNG") && data.ends_with(b"IEND\xae\x42\x60\x82"),
        ImageType::Gif | ImageType::Webp => false,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    fn size(pixels: u32) -> ThumbnailSize {
        ThumbnailSize::fitting(NonZeroU32::new(pixels).unwrap())
    }

    fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut data = Vec::new();
        image.into().write_to(&mut Cursor::new(&mut data), format).unwrap();
        data
    }

    #[test]
    fn a_thumbnail_is_square_and_of_the_middle() {
        let wide = RgbImage::from_fn(300, 100, |x, _| {
            if (100..200).contains(&x) { Rgb([0, 200, 0]) } else { Rgb([200, 0, 0]) }
        });
        for (kind, format) in [(ImageType::Png, ImageFormat::Png), (ImageType::Webp, ImageFormat::WebP)] {
            let (made, data) = make(kind, &encoded(wide.clone(), format), size(64)).unwrap();
            assert!(made == ImageType::Jpeg && is_whole(made, &data));
            let small = image::load_from_memory_with_format(&data, ImageFormat::Jpeg).unwrap().to_rgb8();
            assert_eq!(small.dimensions(), (64, 64));
            let green = small.pixels().all(|Rgb([red, green, blue])| *red < 20 && *green > 180 && *blue < 20);
            assert!(green, "nothing of the sides");
        }
    }

    #[test]
    fn a_photo_taken_sideways_is_turned() {
        let left_is_green =
            RgbImage::from_fn(64, 64, |x, _| if x < 32 { Rgb([0, 200, 0]) } else { Rgb([200, 0, 0]) });
        let data = decode::sideways::jpeg(&left_is_green);
        let (_, data) = make(ImageType::Jpeg, &data, size(64)).unwrap();
        let turned = image::load_from_memory(&data).unwrap().to_rgb8();
        let is_green = |x, y| turned.get_pixel(x, y).0[1] > 180;
        assert!(is_green(32, 10) && !is_green(32, 54), "its left is its top");
    }

    #[test]
    fn what_shines_through_stays_so() {
        let round = RgbaImage::from_fn(128, 128, |x, _| Rgba([0, 0, 200, if x < 64 { 0 } else { 255 }]));
        let (made, data) = make(ImageType::Png, &encoded(round, ImageFormat::Png), size(64)).unwrap();
        assert!(made == ImageType::Png && is_whole(made, &data));
        let small = image::load_from_memory(&data).unwrap().to_rgba8();
        assert_eq!((small.get_pixel(0, 0).0[3], small.get_pixel(63, 0).0[3]), (0, 255));
    }

    #[test]
    fn what_is_small_is_not_blown_up() {
        let tiny = encoded(RgbImage::new(10, 20), ImageFormat::Png);
        let (_, data) = make(ImageType::Png, &tiny, size(256)).unwrap();
        assert_eq!(image::load_from_memory(&data).unwrap().to_rgb8().dimensions(), (10, 10));
    }

    #[test]
    fn what_is_cut_short_is_not_whole() {
        let (made, data) =
            make(ImageType::Png, &encoded(RgbImage::new(9, 9), ImageFormat::Png), size(64)).unwrap();
        assert!(is_whole(made, &data) && !is_whole(made, &data[..data.len() - 1]) && !is_whole(made, &[]));
        assert!(make(ImageType::Png, b"no picture", size(64)).is_err());
    }
}
