use std::fs;
use std::path::Path;

use super::*;
use crate::data::fit::Reading;
use crate::data::input::Input;
use crate::drawing::Picture;

/// Writes a picture of one grey.
fn write(path: &Path, grey: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, Picture::from_fn(2, 2, |_, _| [grey; 3]).png().unwrap()).unwrap();
}

fn load(folder: &Path, split: Split, classes: usize, known: &[&str]) -> Result<Loaded, String> {
    let (input, reading) = (Input::pixels([1, 1, 1], classes), Reading { invert: false, classes: Classes::new(known) });
    let found = open(&Place::of(folder, split)).map_err(|error| error.to_string())?.expect("no album");
    found.load(Part::ALL, &Fit::new(&input, &reading)).map_err(|error| error.to_string())
}

fn greys(loaded: &Loaded) -> Vec<u8> {
    loaded.images.iter().map(|value| (value * 255.0).round() as u8).collect()
}

#[test]
fn classes_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join("pets").join(name);
    (0..6u8).for_each(|i| write(&path(&format!("cat/{i}.png")), i));
    (0..2u8).for_each(|i| write(&path(&format!("dog/{i}.PNG")), 100 + i));
    fs::write(path("cat/notes.txt"), "text").unwrap();
    fs::write(path("dog/.hidden.png"), "").unwrap();
    // A picture by another name.
    fs::rename(path("dog/1.PNG"), path("dog/one")).unwrap();
    let loaded = load(&path(""), Split::Test, 2, &[]).unwrap();
    assert_eq!(greys(&loaded), [0, 1, 100, 2, 3, 4, 101, 5]);
    assert_eq!(loaded.labels.as_deref(), Some(&[0, 0, 1, 0, 0, 0, 1, 0][..]));
    assert_eq!((&loaded.files[2][..], loaded.files[6].as_str()), ("dog/0.PNG", "dog/one"));
    assert_eq!(loaded.classes.names(), ["cat", "dog"]);
    let notices = loaded.notices.join("\n");
    assert!(notices.contains("order of their names: 0 cat, 1 dog") && notices.contains("left out 1 file"), "{notices}");
    assert_eq!(load(&path(""), Split::Test, 2, &["dog", "cat"]).unwrap().labels.unwrap()[..3], [1, 1, 0]);
    let message = load(&path(""), Split::Test, 3, &[]).unwrap_err();
    assert!(message.contains("pets/: found 2 classes (cat, dog), but the model has 3"), "{message}");
}

#[test]
fn halves_are_found_and_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("train/7/a.png"), 1);
    let message = load(folder.path(), Split::Test, 10, &[]).unwrap_err();
    assert!(message.ends_with(": has images for training, but none for testing"), "{message}");
    write(&path("val/3/b.png"), 2);
    let halves = [Split::Train, Split::Test].map(|split| load(folder.path(), split, 10, &[]).unwrap());
    assert_eq!(halves.each_ref().map(|half| half.labels.clone().unwrap()), [[7], [3]]);
    assert!(halves[1].name.contains(" test ("), "{}", halves[1].name);
}

#[test]
fn a_table_tells_labels_too_and_a_folder_may_have_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("a.png"), 1);
    write(&path("sub/b.png"), 2);
    let loaded = load(folder.path(), Split::Test, 1, &[]).unwrap();
    assert_eq!((greys(&loaded), loaded.labels), (vec![2], Some(vec![0])), "a folder is a class");
    fs::write(path("labels.csv"), "file,label\nsub/b.png,dog\na.png,cat\n").unwrap();
    let loaded = load(folder.path(), Split::Test, 2, &[]).unwrap();
    assert_eq!((greys(&loaded), loaded.labels), (vec![2, 1], Some(vec![1, 0])));
    fs::remove_file(path("labels.csv")).unwrap();
    fs::remove_dir_all(path("sub")).unwrap();
    let loaded = load(folder.path(), Split::Test, 5, &[]).unwrap();
    assert_eq!((greys(&loaded), loaded.labels, &loaded.files[..]), (vec![1], None, &["a.png".to_string()][..]));
    fs::write(path("labels.csv"), "none.png,1").unwrap();
    let message = load(folder.path(), Split::Test, 5, &[]).unwrap_err();
    assert!(message.contains("none.png: cannot be read"), "{message}");
    fs::write(path("labels.csv"), "a.png,5").unwrap();
    let message = load(folder.path(), Split::Test, 5, &[]).unwrap_err();
    assert!(message.contains("image 0 has label 5, but the model has 5 classes"), "{message}");
}

#[test]
fn other_folders_are_no_albums() {
    let folder = tempfile::tempdir().unwrap();
    let is_album = || open(&Place::of(folder.path(), Split::Test)).unwrap().is_some();
    assert!(!is_album());
    fs::write(folder.path().join("text"), "text").unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    assert!(!is_album());
}
