//! Thumbnails on disk: made once, removed with their picture, and never in the way of one.

use std::fs;
use std::io::Cursor;
use std::num::NonZeroU32;

use image::{DynamicImage, ImageFormat, RgbImage};

use super::{Bench, about, id, image_bytes, me};
use crate::cache::*;

fn size(pixels: u32) -> ThumbnailSize {
    ThumbnailSize::fitting(NonZeroU32::new(pixels).unwrap())
}

fn picture() -> Vec<u8> {
    let mut data = Vec::new();
    let image = DynamicImage::from(RgbImage::from_fn(300, 200, |x, y| image::Rgb([x as u8, y as u8, 7])));
    image.write_to(&mut Cursor::new(&mut data), ImageFormat::Png).unwrap();
    data
}

async fn with_picture() -> (Bench, Vec<u8>) {
    let (bench, data) = (Bench::new(), picture());
    let write = Write::Image { id: id(&data), kind: ImageType::Png, data: data.clone() };
    bench.write_all(&me(), vec![write, about("a@example.org", Some(&data))]).await;
    (bench, data)
}

#[tokio::test]
async fn a_thumbnail_is_made_once_and_is_there_after_a_restart() {
    let (bench, data) = with_picture().await;
    let made = bench.store.thumbnail(id(&data), size(64)).await.unwrap();
    bench.store.answer().await;
    let name = id(&data).to_string();
    let file = bench.cache().join("images").join(&name[..2]).join(format!("{name}.64.jpg"));
    assert_eq!(fs::read(&file).unwrap(), made.1);
    let bench = bench.reopen().await;
    assert!(file.exists());
    // Now it is read from the file.
    let other = [b"\xff\xd8another\xff\xd9".as_slice()].concat();
    fs::write(&file, &other).unwrap();
    assert_eq!(bench.store.thumbnail(id(&data), size(10)).await.unwrap().1, other);
    // A truncated one is made again.
    fs::write(&file, &other[..5]).unwrap();
    assert_eq!(bench.store.thumbnail(id(&data), size(64)).await.unwrap().1, made.1);
    bench.store.answer().await;
    assert_eq!(fs::read(&file).unwrap(), made.1);
    assert!(bench.store.thumbnail(id(b"nobody's"), size(64)).await.is_none());
}

#[tokio::test]
async fn whatever_sizes_are_asked_for_three_are_kept_and_go_with_the_picture() {
    let (bench, data) = with_picture().await;
    for pixels in (1..2_000).step_by(97) {
        bench.store.thumbnail(id(&data), size(pixels)).await.unwrap();
    }
    bench.store.answer().await;
    let shelf = bench.cache().join("images").join(&id(&data).to_string()[..2]);
    assert_eq!(fs::read_dir(&shelf).unwrap().count(), 1 + 3);
    bench.store.forget(&me()).await.unwrap();
    assert_eq!(image_bytes(&bench), 0);
}

#[tokio::test]
async fn thumbnails_give_way_to_pictures() {
    let (bench, data) = with_picture().await;
    bench.store.thumbnail(id(&data), size(256)).await.unwrap();
    bench.store.answer().await;
    let taken = image_bytes(&bench);
    assert!(taken > data.len() as u64);
    let other = [7; 1_000];
    let most = taken + 500;
    bench.on_thread(move |keeper| keeper.images.most_bytes = most).await;
    // One that does not fit is served all the same.
    let full = taken + 1;
    bench.on_thread(move |keeper| keeper.images.most_bytes = full).await;
    assert!(bench.store.thumbnail(id(&data), size(64)).await.is_some());
    bench.store.answer().await;
    assert_eq!(image_bytes(&bench), taken);
    bench.on_thread(move |keeper| keeper.images.most_bytes = most).await;
    let write = Write::Image { id: id(&other), kind: ImageType::Png, data: other.to_vec() };
    assert_eq!(bench.write(&me(), vec![write]).await, [true]);
    assert_eq!(image_bytes(&bench), data.len() as u64 + 1_000, "the thumbnails are gone, the picture is not");
}
