"""Cue words of several languages: what stands before a name, a date of birth, a passport or telephone number. Small letters."""
# ruff: noqa: RUF001 -- letters of many scripts are meant here

NAME_CUES = (
    "name is", "name's", "i am called", "name:", "name :", "nama saya",
    "nama:", "nama :", "m'appelle", "mon nom est", "nom:", "me llamo", "mi nombre es", "nombre:",
    "me chamo", "meu nome é", "nome:", "ich heiße", "ich heisse", "name ist", "mi chiamo", "il mio nome è", "ik heet", "naam is", "nazywam się",
    "jina langu ni", "jina:", "naitwa", "benim adım", "ismim", "tên tôi là", "tôi tên là", "suna na", "sunana", "orukọ mi ni",
    "меня зовут", "мене звати", "г-н", "г-жа", "मेरा नाम", "श्री", "श्रीमती", "اسمي", "السيد", "السيدة", "نام من", "نامم",
    "我叫", "我的名字是", "姓名:", "私の名前は", "제 이름은", "আমার নাম", "என் பெயர்",
)  # fmt: skip
"""Whatever their case in the text."""

NOT_PEOPLE = frozenset(
    ("file", "user", "host", "domain", "brand", "company", "product", "project", "class", "column", "table", "field", "variable", "function", "package",
     "model", "place", "street", "city", "country", "business", "event", "song", "movie", "book", "hotel", "restaurant", "display", "device", "network")
)  # fmt: skip
"""Before "name is" and "name:" they say that the name is not a person's."""

TITLES = (
    "mr", "mrs", "ms", "miss", "mister", "dr", "prof", "professor", "sir", "madam", "madame", "bapak", "ibu", "pak", "bu", "sdr", "monsieur", "mme", "mlle",
    "señor", "señora", "sr", "sra", "srta", "don", "doña", "senhor", "senhora", "herr", "frau", "signor", "signora", "sig",
    "mevrouw", "meneer", "dhr", "mevr", "pan", "pani", "bwana", "bibi", "mheshimiwa", "sayın",
)  # fmt: skip
"""Only with a capital in the text: in small letters they are pieces of too many words."""

VERBS = frozenset(("है", "हैं", "हूँ", "हूं", "था", "और", "का", "की", "के", "को", "ने", "و", "من", "هو", "هي", "وأنا", "وانا", "است", "هستم", "আমি", "এবং"))
"""What ends a name in scripts without capitals."""

PARTICLES = frozenset(
    ("al", "bin", "binti", "ibn", "bint", "da", "das", "de", "del", "della", "der", "di", "do", "dos", "du", "e", "el", "la", "le", "van", "von", "den", "ter",
     "y", "zu", "ben", "bte")
)  # fmt: skip
"""Small words inside a name."""

BIRTH_CUES = (
    "born", "dob", "d.o.b", "date of birth", "birth date", "birthdate", "birthday", "lahir", "né le", "née le", "naissance", "nacido", "nacida", "nacimiento",
    "nascido", "nascida", "nascimento", "geboren", "geburtsdatum", "geboortedatum", "nato il", "nata il", "nascita", "urodzenia", "urodzon",
    "alizaliwa", "kuzaliwa", "nilizaliwa", "doğum", "ngày sinh", "sinh ngày", "родил", "рождения", "जन्म", "الميلاد", "مواليد", "出生", "生年月日", "생년월일",
)  # fmt: skip

PASSPORT_CUES = (
    "passport", "passeport", "pasaporte", "passaporte", "passaporto", "paspor", "reisepass", "paspoort", "paszport", "pasipoti", "pasaport", "паспорт",
    "पासपोर्ट", "جواز", "护照", "護照", "hộ chiếu",
)  # fmt: skip

PHONE_CUES = (
    "contact", "kontak", "contacto", "contato", "kontakt", "tel", "telp", "telepon", "phone", "mobile", "cell", "call", "text", "sms", "fax",
    "whatsapp", "wa", "hp", "hubungi", "hotline", "telefon", "telefonu", "telefonum",
    "telefone", "teléfono", "telefono", "téléphone", "appelez", "llame", "llama", "llamar", "ligue", "celular", "móvil", "handy", "anrufen", "rufen", "bel",
    "simu", "piga", "namba", "ponsel", "numer", "numara", "cep", "điện thoại", "फोन", "मोबाइल", "هاتف", "الهاتف", "تلفن", "电话", "電話",
    "手机", "전화", "тел", "телефон",
)  # fmt: skip
PHONE_FILLERS = (
    "number", "nummer", "no", "me", "us", "at", "on", "nr", "numéro", "número", "yangu", "saya", "au", "al", "o", "le", "is", "nambari", "ni",
    "di", "ke", "en", "sur", "unter", "to", "my", "your",
    "mi", "meu", "ya", "est", "es", "nomor", "नंबर", "号码",
)  # fmt: skip
"""What may stand between the cue and the number, beside spaces and punctuation."""
