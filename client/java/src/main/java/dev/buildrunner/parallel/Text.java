package dev.buildrunner.parallel;

/** Text that the protocol takes. */
final class Text {
  private Text() {}

  /** One line of at most so many bytes of UTF-8; what cannot be shown becomes a space. */
  static String oneLine(String text, int mostBytes) {
    StringBuilder line = new StringBuilder();
    int bytes = 0;
    for (int at = 0; at < text.length(); ) {
      int point = text.codePointAt(at);
      at += Character.charCount(point);
      boolean isLoneSurrogate = point >= 0xD800 && point <= 0xDFFF;
      if (isLoneSurrogate) {
        point = 0xFFFD;
      } else if (Character.isISOControl(point) || point == 0x2028 || point == 0x2029) {
        point = ' ';
      }
      bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
      if (bytes > mostBytes) {
        break;
      }
      line.appendCodePoint(point);
    }
    return line.toString();
  }

  /** The last line that is not blank. */
  static String lastLine(String text) {
    String[] lines = text.strip().split("[\r\n]+");
    return lines[lines.length - 1].strip();
  }
}
