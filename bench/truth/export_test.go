package truth

func init() { rowsAtOnce = 2 } // so that each test reads several pages
