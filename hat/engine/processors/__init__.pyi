from .batch_processor import BatchProcessor as BatchProcessor
