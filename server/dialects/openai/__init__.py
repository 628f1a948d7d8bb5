"""The dialect of servers that answer in OpenAI's form; what tells them apart is data."""
